"""`mpr pretrain`: the losses are the published ones, frames are drawn as they say, a killed run ends as an unbroken."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.commands.pretrain import main
from mpr.core.checkpoints import BadCheckpoint, last_checkpoint
from mpr.core.data.clip_folder import save_clip
from mpr.core.errors import UserError
from mpr.pretraining import run as running
from mpr.pretraining.config import VipSettings
from mpr.pretraining.objective import FEWEST_FRAMES
from mpr.pretraining.samples import FrameSamples, frame_stretches, random_crop
from mpr.pretraining.temporal_distance import TemporalDistance
from mpr.pretraining.value_order import value_order_correlation
from mpr.pretraining.vip import Vip, vip_loss
from mpr.representations.checkpoint import load_representation, pixel_vectors
from mpr.representations.temporal_distance import DISTANCE_BINS, DistanceHead, distances, two_hot
from mpr.training.augment import moved_frame
from tests.toy_clips import Drawn, toy_clip

SMALL = ["--image", "32", "--width", "16", "--batch", "4", "--device", "cpu", "--val_share", "0.3"]
LENGTHS, SEEDS = st.integers(FEWEST_FRAMES, 60), st.integers(0, 10_000)


def plain_vip_loss(vectors: list, permutations: list, numbers: VipSettings) -> float:
    """The published loss written a second time, number by number."""

    def value(o: list[float], g: list[float]) -> float:
        return -(sum((a - b) ** 2 for a, b in zip(o, g, strict=True)) ** 0.5)

    def average(values: list[float]) -> float:
        return sum(values) / len(values)

    rows = range(len(vectors))
    goal = [clip[1] for clip in vectors]

    def surprise(pairs: list[tuple[int, int]]) -> float:
        """Of the two frames of clip i before the goal of clip j."""
        steps = [-1 + numbers.gamma * value(vectors[i][3], goal[j]) - value(vectors[i][2], goal[j]) for i, j in pairs]
        return float(np.log(1e-8 + average([float(np.exp(-step)) for step in steps])))

    loss = (1 - numbers.gamma) * average([-value(vectors[i][0], goal[i]) for i in rows])
    loss += surprise([(i, i) for i in rows])
    loss += surprise([(p[j], j) for p in permutations for j in rows]) if permutations else 0.0
    every = [frame for clip in vectors for frame in clip]
    loss += numbers.l1 * average([sum(map(abs, frame)) for frame in every])
    return loss + numbers.l2 * average([sum(x * x for x in frame) ** 0.5 for frame in every])


@pytest.mark.parametrize("numbers", [VipSettings(), VipSettings(gamma=0.9, negatives=1, l1=0.2, l2=0.03)])
def test_vip_s_loss_is_the_published_one(numbers: VipSettings) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(6, 4, 3)).astype(np.float32)
    permutations = [rng.permutation(6) for _ in range(numbers.negatives)]
    found = vip_loss(torch.from_numpy(vectors), np.array(permutations), numbers)
    wanted = plain_vip_loss(vectors.tolist(), [p.tolist() for p in permutations], numbers)
    assert abs(float(found) - wanted) < 1e-5


def test_vip_s_loss_of_known_numbers() -> None:
    """Two clips on a line, worked out by hand: V is -3 and -1 at first, the pair goes from 2 to 1 and from 1 to 0."""
    vectors = torch.tensor([[[0.0], [3.0], [1.0], [2.0]], [[0.0], [1.0], [0.0], [1.0]]])
    numbers = VipSettings(negatives=0, l1=0, l2=0)
    steps = [-1 - 0.98 * 1 + 2, -1 - 0 + 1]
    wanted = 0.02 * 2 + np.log(1e-8 + np.mean(np.exp(-np.array(steps))))
    assert float(vip_loss(vectors, np.empty((0, 2), np.intp), numbers)) == pytest.approx(wanted, abs=1e-6)


def test_the_loss_falls_where_values_rise_by_one_a_step_and_falls_back_without_the_other_clips() -> None:
    numbers = VipSettings(l1=0, l2=0)
    good = torch.tensor([[[0.0, 9.0 * k], [5.0, 9.0 * k], [2.0, 9.0 * k], [3.0, 9.0 * k]] for k in range(4)])
    still = good.clone()
    still[:, 3] = still[:, 2]
    alone = np.empty((0, 4), np.intp)
    assert vip_loss(good, alone, numbers) < vip_loss(still, alone, numbers)
    others = np.array([[1, 2, 3, 0]])
    assert vip_loss(good, others, numbers) != vip_loss(good, alone, numbers)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, SEEDS)
def test_vip_s_frames_are_in_order_and_in_the_clip(length: int, seed: int) -> None:
    first, goal, now, after = Vip(VipSettings()).draw(length, np.random.default_rng(seed)).tolist()
    assert 0 <= first <= now and after == now + 1 and after <= goal <= length - 1 and first <= length - 3


def test_vip_s_frames_are_uniform_over_what_they_can_be() -> None:
    rng, vip, length = np.random.default_rng(0), Vip(VipSettings()), 6
    drawn = np.array([vip.draw(length, rng) for _ in range(6000)])
    for first in range(length - 2):
        mine = drawn[drawn[:, 0] == first]
        assert len(mine) / len(drawn) == pytest.approx(1 / (length - 2), abs=0.03)
        goals = np.bincount(mine[:, 1], minlength=length)[first + 1 :] / len(mine)
        np.testing.assert_allclose(goals, 1 / (length - 1 - first), atol=0.05)
    far = drawn[(drawn[:, 0] == 0) & (drawn[:, 1] == length - 1)][:, 2]
    np.testing.assert_allclose(np.bincount(far, minlength=length - 1) / len(far), 1 / (length - 1), atol=0.09)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, SEEDS)
def test_two_frames_of_a_clip_are_never_the_same(length: int, seed: int) -> None:
    pair = TemporalDistance(4).draw(length, np.random.default_rng(seed))
    assert pair[0] != pair[1] and pair.min() >= 0 and pair.max() < length


def test_near_frames_come_more_often_in_either_order() -> None:
    rng, objective = np.random.default_rng(0), TemporalDistance(4)
    steps = np.diff([objective.draw(5, rng) for _ in range(6000)])[:, 0]
    shares = np.array([(np.abs(steps) == k).mean() for k in (1, 2, 3, 4)])
    np.testing.assert_allclose(shares, 1 / np.arange(1, 5) / (25 / 12), atol=0.03)
    assert (steps > 0).mean() == pytest.approx(0.5, abs=0.03)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9))
def test_two_hot_shares_give_the_distance_back(values: list[float]) -> None:
    asked = torch.tensor(values)
    shares = two_hot(asked)
    assert shares.shape == (len(values), DISTANCE_BINS) and (shares >= 0).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(len(values)))
    torch.testing.assert_close(shares @ distances(shares), asked, atol=1e-5, rtol=0)
    assert ((shares > 0).sum(1) <= 2).all()


def test_a_distance_is_what_the_chosen_bins_say() -> None:
    head = DistanceHead(2)
    with torch.no_grad():
        head.choose.weight.zero_()
        head.choose.bias.copy_(torch.where(torch.arange(DISTANCE_BINS) == 3, 50.0, 0.0))
    found = head.distance(torch.randn(4, 2), torch.randn(4, 2))
    torch.testing.assert_close(found, torch.full((4,), -1 + 3 * 2 / 19))


def test_the_distance_that_is_taught_is_a_share_of_the_clip_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("mpr.pretraining.temporal_distance.two_hot", lambda x: (asked.append(x), two_hot(x))[1])
    samples = FrameSamples(frame_stretches(toy_clip(0, length=11)), TemporalDistance(4), 16, 0)
    batch = [samples[n]["progress"] for n in range(20)]
    samples.objective.loss(torch.zeros(20, 2, 4), torch.from_numpy(np.stack(batch)), np.random.default_rng(0))
    steps = (asked[0] * 10).round()
    torch.testing.assert_close(asked[0] * 10, steps)
    assert (steps != 0).all() and (steps > 0).any() and (steps < 0).any()


def test_all_frames_of_a_sample_share_one_crop_and_samples_do_not() -> None:
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (64, 64, 3), np.uint8)
    still = Drawn(lambda t: picture, 9)
    samples = FrameSamples([still], Vip(VipSettings()), 32, 0, crop=0.2, flip=0.5, colour=0.5)
    seen = [samples[n]["frames"] for n in range(6)]
    for frames in seen:
        assert frames.shape == (4, 32, 32, 3) and frames.dtype == np.uint8
        assert (frames == frames[0]).all()
    assert all((a[0] != b[0]).any() for a, b in pairwise(seen))
    assert all((a == samples[n]["frames"]).all() for n, a in enumerate(seen)), "a sample is its number's"


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_a_crop_lies_in_the_frame_and_is_as_large_as_asked(seed: int) -> None:
    matrix = random_crop(0.3, 0.5, np.random.default_rng(seed))
    corners = np.linalg.solve(matrix[:, :2], (np.array([[0, 0], [1, 1]]) - matrix[:, 2]).T).T
    assert corners.min() > -1e-9 and corners.max() < 1 + 1e-9
    size = np.abs(corners[1] - corners[0])
    assert 0.3 - 1e-9 <= size.prod() <= 1 and 3 / 4 - 1e-9 <= size[0] / size[1] <= 4 / 3 + 1e-9


def test_a_crop_of_everything_is_the_frame_and_a_mirrored_one_its_mirror() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    rng = np.random.default_rng(0)
    whole = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(random_crop(1.0, 0.0, rng), whole)
    mirrored = moved_frame(picture, random_crop(1.0, 1.0, rng), 32)
    np.testing.assert_array_equal(mirrored, picture[:, ::-1])


def test_a_clip_is_cut_at_its_gaps_and_what_is_short_is_left_out() -> None:
    clip = toy_clip(0, length=12)
    times = clip.times.copy()
    times[8:] += 5.0
    parts = frame_stretches(replace(clip, times=times))
    assert [len(part) for part in parts] == [8]
    np.testing.assert_array_equal(parts[0][7], clip.frames[7])
    assert [len(part) for part in frame_stretches(clip)] == [12] and frame_stretches(toy_clip(0, length=4)) == []


def test_a_stretch_without_the_object_is_cut_out_and_a_blink_is_not() -> None:
    clip = toy_clip(0, length=24)

    def hidden(*frames: int) -> Drawn:
        return Drawn(lambda t: clip.masks[t] & (t not in frames), 24)

    parts = frame_stretches(replace(clip, masks=hidden(2, *range(8, 14))))
    assert [len(part) for part in parts] == [8, 10]
    np.testing.assert_array_equal(parts[1][0], clip.frames[14])
    assert frame_stretches(replace(clip, masks=hidden(*range(24)))) == []


def test_a_lost_object_teaches_nothing_and_a_clip_without_it_is_named(tmp_path: Path, capsys) -> None:
    for k in range(3):
        clip = toy_clip(k, length=9)
        shown = Drawn(lambda t, clip=clip, k=k: clip.masks[t] & (k < 2 or t < 4), 9)
        save_clip(replace(clip, masks=shown), tmp_path / "clips" / f"c{k}")
    main(command(tmp_path / "clips", tmp_path / "run", "vip", "--steps", "1"))
    assert "under 5 frames in a row that show the object: 1 clip(s), toy-2" in capsys.readouterr().out


def test_value_order_correlation_of_known_orders() -> None:
    assert value_order_correlation(np.arange(7.0) ** 3) == pytest.approx(1)
    assert value_order_correlation(-np.arange(7.0)) == pytest.approx(-1)
    assert value_order_correlation(np.ones(7)) == 0
    assert value_order_correlation(np.array([0.0, 1, 1, 2])) == pytest.approx(0.9486833)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    for i in range(6):
        save_clip(toy_clip(i, length=8 if i else 4), root / f"c{i}")
    return root


def command(clips: Path, out: Path, objective: str, *more: str) -> list[str]:
    asked = ["--objective", objective, "--clips", str(clips), "--out", str(out), *SMALL]
    return [*asked, "--steps", "7", "--checkpoint_every", "2", *more]


@pytest.fixture(scope="module", params=["vip", "temporal_distance"])
def trained(clips: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("runs") / "whole"
    main(command(clips, out, request.param))
    return request.param, out


class Killed(BaseException):
    pass


def test_killed_and_resumed_is_bitwise_the_unbroken_run(
    clips: Path, trained: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, whole = trained
    save, out = running._Pretraining._save, tmp_path / "killed"

    def killed(self: running._Pretraining, step: int) -> None:
        save(self, step)
        if step == 4:
            raise Killed

    with pytest.raises(Killed), monkeypatch.context() as patch:
        patch.setattr(running._Pretraining, "_save", killed)
        main(command(clips, out, objective))
    assert not (out / "summary.json").exists()
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "loss": 9.0}\n{"step": 6, "lo')  # logged after the checkpoint, and torn
    main(command(clips, out, objective))
    for name in ("metrics.jsonl", "held_out.md"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = last_checkpoint(out), last_checkpoint(whole)
    assert ours is not None and theirs is not None and ours.name == theirs.name == "0000007"
    files = {"model.safetensors", "optimizer.pt"} | (
        {"head.safetensors"} if objective == "temporal_distance" else set()
    )
    assert files == {file.name for file in ours.iterdir()} - {"checkpoint.json", "SHA256SUMS"}
    for name in files:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_a_run_says_what_it_was_made_of_and_how_it_stands(trained: tuple[str, Path]) -> None:
    objective, run = trained
    card = json.loads((run / "model_card.json").read_text())
    assert card["objective"] == objective and card["steps"] == 7
    assert card["data"]["clips"] + card["data"]["held_out_clips"] == 5 and card["data"]["left_out_clips"] == 1
    assert not set(card["data"]["groups"]) & set(card["data"]["held_out_groups"])
    told = (run / "model_card.md").read_text()
    assert "left out as too short: 1" in told and "| untrained |" in told and "| pixels |" in told
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["value_order_correlation"]) == {"trained", "untrained", "pixels"}
    assert summary["core_minutes"] > 0


def test_a_run_is_read_for_its_own_objective_alone(trained: tuple[str, Path]) -> None:
    objective, run = trained
    frames = toy_clip(9).frames
    if objective == "vip":
        embed, head = load_representation(run, "vip")
        assert head is None and embed.rate_hz == 12.5
        vectors = embed(frames)
        assert vectors.shape == (10, 16) and (vectors[0] != vectors[9]).any()
        assert pixel_vectors(frames).shape == (10, 3072)
    else:
        embed, head = load_representation(run, "temporal_distance", DistanceHead)
        vectors = embed(frames)
        assert head.distance(vectors[:-1], vectors[1:]).abs().max() <= 1
    other = {"vip": "temporal_distance", "temporal_distance": "vip"}[objective]
    with pytest.raises(BadCheckpoint, match=f"was trained with --objective {objective}: this takes a run of `mpr pre"):
        load_representation(run, other)


def test_a_changed_weight_is_refused(clips: Path, tmp_path: Path) -> None:
    main(command(clips, tmp_path / "run", "vip", "--steps", "1"))
    folder = last_checkpoint(tmp_path / "run")
    assert folder is not None
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(BadCheckpoint, match="its checksum is another"):
        load_representation(tmp_path / "run", "vip")


def test_minutes_become_steps_and_stay_those_on_resume(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(float(k) for k in range(10_000))  # a second of the processor at every look
    monkeypatch.setattr("mpr.pretraining.run.time.process_time", lambda: next(clock))
    asked = command(clips, tmp_path / "run", "vip", "--minutes", "0.05")
    asked = [word for k, word in enumerate(asked) if "--steps" not in asked[max(0, k - 1) : k + 1]]
    main(asked)
    assert "0.05 core-minutes hold 3 steps of 1.00 s" in capsys.readouterr().out
    monkeypatch.setattr("mpr.pretraining.run.TIMED_STEPS", 0)  # to measure again would divide by it
    main(asked)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 3


def test_measuring_changes_nothing_of_what_is_trained(clips: Path, tmp_path: Path) -> None:
    asked = command(clips, tmp_path / "minutes", "vip", "--minutes", "1e-9")
    main([word for k, word in enumerate(asked) if "--steps" not in asked[max(0, k - 1) : k + 1]])
    main(command(clips, tmp_path / "steps", "vip", "--steps", "1"))
    folders = [last_checkpoint(tmp_path / name) for name in ("minutes", "steps")]
    weights = [folder / "model.safetensors" for folder in folders if folder is not None]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the loss of step [2-7] is (nan|inf): a lower --lr than 1e\+30"):
        main(command(clips, tmp_path / "run", "vip", "--lr", "1e30"))
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(("more", "says"), [
    (["--objective", "r3m"], "no objective 'r3m'; there is vip, temporal_distance"),
    (["--size", "paper"], "encoder 'dinov2' is frozen"),
    (["--vip.gamma", "1.5"], "--vip.gamma 1.5: it is at least 0 and at most 1"),
    (["--crop", "0"], "--crop 0.0: it is above 0"),
    (["--minutes", "3"], "--minutes 3 and --steps 7: give one of them"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(clips: Path, tmp_path: Path, more: list[str], says: str) -> None:
    with pytest.raises(UserError) as error:
        main(command(clips, tmp_path / "run", "vip", *more))
    assert says in str(error.value) and not (tmp_path / "run").exists()


def test_clips_that_are_all_too_short_are_refused(tmp_path: Path) -> None:
    for i in range(2):
        save_clip(toy_clip(i, length=4), tmp_path / "clips" / f"c{i}")
    with pytest.raises(
        UserError, match=r"no clip in .* has 5 frames in a row that show its object at --rate_hz 12.5 \(2 left out\)"
    ):
        main(command(tmp_path / "clips", tmp_path / "run", "vip"))
    assert not (tmp_path / "run").exists()


def test_a_plan_touches_nothing(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*command(clips, tmp_path / "run", "vip"), "--dry-run"])
    told = capsys.readouterr().out
    assert "steps: 7" in told and "clips: 6" in told and not (tmp_path / "run").exists()


def test_it_learns_the_order_of_a_toy(tmp_path: Path) -> None:
    """A square that slides over a still ground: the trained network knows the order of held-out frames."""
    for i in range(8):
        save_clip(toy_clip(i, length=10, drift=(0, 0), speed=8.0), tmp_path / "clips" / f"c{i}")
    asked = command(tmp_path / "clips", tmp_path / "run", "temporal_distance", "--steps", "80", "--lr", "0.003")
    main([*asked, "--batch", "16", "--crop", "1", "--flip", "0", "--colour", "0"])
    order = json.loads((tmp_path / "run" / "summary.json").read_text())["value_order_correlation"]
    assert order["trained"]["value"] > 0.9
