"""The diffusion policy on states: its parts against their laws, how it acts and what it learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mpr.core.data.episode import Episode
from mpr.core.data.step_log import StepLog
from mpr.core.errors import UserError
from rl.data.demonstrations import BadDemonstration, labels
from rl.policies.base_policy import ZeroPolicy
from rl.policies.diffusion.normalise import RANGE_FLOOR, Normaliser
from rl.policies.diffusion.policy import DiffusionActor, DiffusionPolicy, PolicyShape
from rl.policies.diffusion.samples import PolicyWindows, policy_window_starts
from rl.policies.diffusion.schedule import Sampler, add_noise, denoise, generator, schedule
from rl.policies.diffusion.sizes import POLICY_SIZES, Horizons
from rl.policies.diffusion.unet import ConditionalUnet1d, FilmBlock
from tests.toy_demonstrations import demonstration, played, states, toy_demonstration

SHAPE = PolicyShape(state=3, action=2, widths=(16, 32), step_embedding=16)
CPU = torch.device("cpu")


def policy(shape: PolicyShape = SHAPE, seed: int = 0) -> DiffusionPolicy:
    torch.manual_seed(seed)
    return DiffusionPolicy(shape)


# --- the denoiser


def test_the_paper_s_configuration_counts_94_810_million_parameters() -> None:
    with torch.device("meta"):
        unet = ConditionalUnet1d(action=8, condition=2 * (2 * 512 + 8))
        small = ConditionalUnet1d(action=8, condition=2 * (512 + 8))
    assert f"{sum(p.numel() for p in unet.parameters()) / 1e6:.3f}" == "94.810"
    assert f"{sum(p.numel() for p in small.parameters()) / 1e6:.1f}" == "80.1"  # one camera
    size = POLICY_SIZES["paper"]
    assert size.widths == (256, 512, 1024) and PolicyShape(8, 8, widths=size.widths).step_embedding == 256


def test_the_denoiser_keeps_the_chunk_s_shape_and_obeys_step_and_condition() -> None:
    torch.manual_seed(0)
    unet = ConditionalUnet1d(5, 7, (16, 32, 64), step_embedding=16)
    noisy, step, condition = torch.randn(3, 16, 5), torch.tensor([0, 3, 49]), torch.randn(3, 7)
    out = unet(noisy, step, condition)
    assert out.shape == (3, 16, 5)
    other = condition.clone()
    other[1] += 1
    changed = (unet(noisy, step, other) - out).abs().amax((1, 2))
    assert changed[1] > 1e-3 and changed[0] == changed[2] == 0  # each sample its own condition
    assert (unet(noisy, step + 1, condition) - out).abs().amax((1, 2)).min() > 1e-4
    with pytest.raises(ValueError, match="multiple of 4"):
        unet(noisy[:, :14], step, condition)


def test_film_scales_and_shifts_every_channel() -> None:
    block = FilmBlock(16, 16, 8 + 3, kernel=5, groups=8)
    film = block.film[1]
    assert isinstance(film, nn.Linear)
    x, known = torch.randn(2, 16, 6), torch.randn(2, 8 + 3)
    with torch.no_grad():
        film.weight.zero_()
        film.bias[:16], film.bias[16:] = 2.0, 0.5
        torch.testing.assert_close(block(x, known), block.second(2 * block.first(x) + 0.5) + x)


# --- normalisation


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=8),
    st.floats(-1e3, 1e3, width=32),
)
def test_normalised_data_spans_minus_one_to_one_and_comes_back(rows: list[list[float]], constant: float) -> None:
    data = np.array([[*row, constant] for row in rows], np.float32)  # the last dimension is constant
    scale = Normaliser(4).fit(data)
    values = torch.from_numpy(data)
    normalised = scale(values)
    assert torch.isfinite(normalised).all() and (normalised.abs() <= 1 + 1e-3).all() and not normalised[:, 3].any()
    torch.testing.assert_close(scale.inverse(normalised), values, rtol=1e-5, atol=1e-3)
    wide = np.ptp(data, 0) > 1
    torch.testing.assert_close(normalised.amax(0)[wide], torch.ones(int(wide.sum())), rtol=0, atol=1e-3)
    torch.testing.assert_close(normalised.amin(0)[wide], -torch.ones(int(wide.sum())), rtol=0, atol=1e-3)


def test_a_dimension_that_only_showed_noise_is_not_blown_up() -> None:
    scale = Normaliser(2).fit(np.array([[0.3, 0.0], [0.3001, 1.0]]))
    moved = scale(torch.tensor([0.3 + RANGE_FLOOR, 0.5]))
    assert 1.9 < moved[0] < 2.1 and moved[1] == 0


def test_statistics_travel_with_the_weights_and_bad_ones_are_refused() -> None:
    fitted = policy()
    fitted.state_scale.fit(np.array([[0.0, 5.0, 1.0], [4.0, 5.0, 3.0]]))
    other = policy(seed=1)
    other.load_state_dict(fitted.state_dict())
    torch.testing.assert_close(other.state_scale(torch.tensor([4.0, 5.0, 1.0])), torch.tensor([1.0, 0.0, -1.0]))
    for bad in (np.array([[0.0, np.nan, 1.0]]), np.empty((0, 3)), np.zeros((4, 2))):
        with pytest.raises(ValueError, match=r"NaN|cannot fit"):
            Normaliser(3).fit(bad)


# --- noise


def far_from_perfect(noisy: Tensor, step: Tensor) -> Tensor:
    return 0.3 * noisy + 0.02 * step[:, None, None]


def test_ddpm_is_diffusers_own_loop() -> None:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    ours = denoise(far_from_perfect, (2, 16, 3), 50, Sampler("ddpm"), generator(5), CPU)
    plan, drawn = DDPMScheduler(50, beta_schedule="squaredcos_cap_v2"), generator(5)
    x = torch.randn(2, 16, 3, generator=drawn)
    for t in range(49, -1, -1):
        x = plan.step(far_from_perfect(x, torch.tensor([t, t])), t, x, generator=drawn).prev_sample  # type: ignore[arg-type, union-attr]
    assert torch.equal(ours, x)


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_ddim_is_its_formula_from_pure_noise_on(steps: int) -> None:
    ours = denoise(far_from_perfect, (2, 16, 3), 50, Sampler("ddim", steps), generator(5), CPU)
    u = (1 + np.arange(-1, 50)) / 50  # cosine schedule: betas from squared cosines, capped
    bar = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    alpha_bar = np.cumprod(1 - np.minimum(1 - bar[1:] / bar[:-1], 0.999))
    x = torch.randn(2, 16, 3, generator=generator(5)).double()
    stride = 50 // steps
    for t in range(49, -1, -stride):
        now, then = alpha_bar[t], alpha_bar[t - stride] if t >= stride else 1.0
        noise = far_from_perfect(x, torch.tensor([t, t]))
        clean = ((x - (1 - now) ** 0.5 * noise) / now**0.5).clamp(-1, 1)
        x = then**0.5 * clean + (1 - then) ** 0.5 * noise
    torch.testing.assert_close(ours.double(), x, rtol=1e-3, atol=1e-4)


def test_noise_grows_with_the_step_and_samplers_are_checked() -> None:
    clean, noise = torch.ones(50, 16, 2), torch.zeros(50, 16, 2)
    left = add_noise(clean, noise, torch.arange(50), 50)[:, 0, 0]
    assert (left.diff() < 0).all() and left[0] > 0.99 and left[-1] < 0.02
    steps, noise = torch.tensor([3, 40]), torch.randn(2, 16, 2, generator=generator(0))
    wanted = schedule(50, Sampler("ddpm")).add_noise(clean[:2], noise, steps)  # type: ignore[arg-type]
    torch.testing.assert_close(add_noise(clean[:2], noise, steps, 50), wanted)
    for kind, steps, message in (("euler", 5, "no sampler 'euler'"), ("ddim", 0, "1 or more"), ("ddim", 7, "divide")):
        with pytest.raises(UserError, match=message):
            schedule(50, Sampler(kind, steps))


# --- windows


def windows(demonstrations: Sequence[Episode], seed: int = 0) -> PolicyWindows:
    return PolicyWindows(demonstrations, Horizons(), seed)


def test_windows_repeat_an_episode_s_ends_and_never_cross_into_the_next() -> None:
    first = dataclasses.replace(toy_demonstration(0), teacher_actions=np.arange(40, dtype=np.float32).reshape(20, 2))
    second = dataclasses.replace(toy_demonstration(1), teacher_actions=1000 + labels(first))
    both = windows([first, second])
    assert len(both) == 2 * 13 and list(policy_window_starts(20, Horizons(), 7)) == list(range(-1, 12))
    start, end, after = (both.windows_at(np.array([k])) for k in (0, 12, 13))
    steps = torch.arange(-1, 15).clamp(min=0)
    torch.testing.assert_close(start["action"][0], torch.from_numpy(labels(first))[steps])
    torch.testing.assert_close(start["state"][0], torch.from_numpy(first.states)[[0, 0]])
    torch.testing.assert_close(end["action"][0], torch.from_numpy(labels(first))[torch.arange(11, 27).clamp(max=19)])
    torch.testing.assert_close(end["state"][0], torch.from_numpy(first.states)[[11, 12]])
    torch.testing.assert_close(after["action"], start["action"] + 1000)
    torch.testing.assert_close(after["state"][0], torch.from_numpy(second.states)[[0, 0]])
    assert len(windows([toy_demonstration(0, length=3)])) == 1  # shorter than a chunk, and still learned from


@pytest.mark.parametrize("taught", [True, False])
def test_no_window_holds_an_action_that_was_not_executed(taught: bool) -> None:
    """A held step is left out with what was seen before it, as idle ones are: what stays was seen and then done."""
    whole, other = toy_demonstration(0, cameras=("front",)), toy_demonstration(1, cameras=("front",))
    teacher = whole.teacher_actions if taught else None
    at = [0, 7, 8, 19]
    log = StepLog(held=np.where(np.isin(np.arange(20), at), "stale state", ""))
    held = dataclasses.replace(whole, teacher_actions=teacher, log=log)
    sent = np.delete(np.arange(20), at)
    seen = [*sent, 20]
    frames = {"front": np.asarray(whole.frames["front"])[seen]}
    wanted = dataclasses.replace(
        whole, states=whole.states[seen], times=whole.times[seen], executed_actions=whole.executed_actions[sent],
        teacher_actions=None if teacher is None else teacher[sent], frames=frames,
    )  # fmt: skip

    def made(*demonstrations: Episode) -> PolicyWindows:
        views = {"front": np.concatenate([np.asarray(d.frames["front"]) for d in demonstrations])}
        return PolicyWindows(demonstrations, Horizons(), 0, views)

    ours, theirs = made(held, other, held), made(wanted, other, wanted)
    assert len(ours) == len(theirs) == 2 * 9 + 13
    every = np.arange(len(ours))
    for name, values in theirs.windows_at(every).items():
        assert torch.equal(ours.windows_at(every)[name], values), name
    assert np.array_equal(ours.states, theirs.states) and np.array_equal(ours.actions, theirs.actions), "what is fitted"
    nothing = dataclasses.replace(whole, log=StepLog(held=np.full(20, "stale state")))
    assert torch.equal(made(nothing, other).batch(0, 5)["state"], made(other).batch(0, 5)["state"])
    with pytest.raises(BadDemonstration, match="each step of them was held"):
        made(nothing)


def test_batches_are_a_function_of_seed_and_number_and_pass_through_all_windows() -> None:
    demonstrations = [toy_demonstration(i) for i in range(3)]
    a, b = windows(demonstrations), windows(demonstrations)
    wanted = [a.batch(n, 8)["action"] for n in range(12)]
    for n in (11, 0, 5, 4):  # in any order
        assert torch.equal(b.batch(n, 8)["action"], wanted[n])
    assert not torch.equal(windows(demonstrations, seed=1).batch(0, 8)["action"], wanted[0])
    assert sorted(a._window(n) for n in range(len(a))) == list(range(len(a)))
    assert [a._window(n) for n in range(len(a))] != [a._window(len(a) + n) for n in range(len(a))]


def test_horizons_that_do_not_fit_are_refused() -> None:
    for values in ((0, 16, 8), (2, 8, 8)):
        with pytest.raises(ValueError, match=r"horizons|reach past"):
            Horizons(*values)


# --- acting


@pytest.mark.parametrize("sampler", [Sampler(), Sampler("ddpm")])
def test_a_seed_decides_an_episode(sampler: Sampler) -> None:
    actor, seen = DiffusionActor(policy(), sampler), states(11)
    one = played(actor, 3, seen)
    assert one.shape == (11, 2) and one.dtype == np.float32
    np.testing.assert_array_equal(one, played(actor, 3, seen))  # whatever was played before, and torch's own state
    np.testing.assert_array_equal(one, played(DiffusionActor(policy(), sampler), 3, seen))
    assert np.abs(one - played(actor, 4, seen)).max() > 1e-3


@pytest.mark.parametrize("left_after", [1, 5, 8, 9])
def test_reset_drops_chunk_and_history(left_after: int) -> None:
    """After a success or a time-out at any step of a chunk, the next episode begins as if nothing had been."""
    actor, seen = DiffusionActor(policy(), Sampler()), states(10, 1)
    wanted = played(DiffusionActor(policy(), Sampler()), 7, seen)
    played(actor, 2, states(left_after))
    np.testing.assert_array_equal(played(actor, 7, seen), wanted)


def test_a_chunk_is_planned_from_the_last_two_observations_and_run_from_the_present_on() -> None:
    asked: list[Tensor] = []

    class Clock(DiffusionPolicy):
        """Foretells, at every step, which step of the prediction it is."""

        def predict(self, observation, sampler, drawn_from):
            asked.append(observation["state"][0, :, 0].clone())
            return torch.arange(16.0)[None, :, None].expand(1, 16, 2)

    actor = DiffusionActor(Clock(SHAPE), Sampler())
    seen = np.arange(18.0)[:, None].repeat(3, 1)
    actions = played(actor, 0, seen)
    assert actions[:, 0].tolist() == [*range(1, 9), *range(1, 9), 1, 2]
    assert [a.tolist() for a in asked] == [[0, 0], [7, 8], [15, 16]]


def test_an_actor_refuses_what_it_cannot_play() -> None:
    actor = DiffusionActor(policy(), Sampler())
    with pytest.raises(RuntimeError, match="reset"):
        actor.act(np.zeros(3))
    actor.reset(0)
    with pytest.raises(ValueError, match=r"shape \(4,\), the policy takes \(3,\)"):
        actor.act(np.zeros(4))
    zero = ZeroPolicy(9)
    zero.reset(0)
    assert not zero.act(np.ones(62)).any() and zero.act(np.ones(62)).shape == (9,)


# --- learning


def test_it_learns_both_ways_of_a_teacher_who_takes_either() -> None:
    """Action 0.4 s + 0.5 or 0.4 s - 0.5: squared error would learn the middle, which nobody ever showed."""

    def episode(seed: int) -> Episode:
        s, side = np.float32(-1 + 2 * (seed // 2) / 15), 1 if seed % 2 else -1
        flat = np.full((21, 1), s, np.float32)
        actions = np.full((20, 1), 0.4 * s + 0.5 * side, np.float32)
        return demonstration(flat, actions, actions, np.arange(21) / 12.5, seed)

    taught = windows([episode(seed) for seed in range(32)])
    student = policy(PolicyShape(state=1, action=1, widths=(32, 64), step_embedding=32))
    student.state_scale.fit(taught.states)
    student.action_scale.fit(taught.actions)
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3, fused=True)
    for step in range(300):
        loss = student.loss(taught.batch(step, 64), generator(0, step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    s = torch.linspace(-0.9, 0.9, 64)
    chunk = student.sample({"state": s[:, None, None].expand(64, 2, 1)}, Sampler(), generator(9))
    assert chunk.shape == (64, 8, 1)
    from_middle = chunk.mean((1, 2)) - 0.4 * s
    off = (from_middle.abs() - 0.5).abs()
    assert off.median() < 0.08 and (off < 0.25).float().mean() > 0.9
    assert 10 < (from_middle > 0).sum() < 54
