"""Demonstrations as the residual policy would have met them: its labels, its observations, its rewards.

    stored action = correction(a_base, a_demo),   in the kitchen clip((a_demo - a_base) / residual_scale)

with the base policy run through each demonstration in order, as online, its chunks included; one with cameras sees the
demonstration's own frames. `a_demo` is the expert's noise-free action: execution noise in a label would be as large as
the residual scale. On request it is the action that was executed: the next state, which the critics learn from beside
it, is that one's (in the kitchen the two differ by 0.49 residual units rms). A step that is a gap
(`mpr.core.data.steps`: where idle steps were taken out) is no transition to learn from: the base policy sees it, the
buffer does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.reward.model import RewardModel
from rl.data.demonstrations import BadDemonstration, check_frames, check_sizes, labels, seed_of
from rl.environments.practice import PracticeEnvironment
from rl.environments.residual import observe
from rl.policies.base_policy import CameraFrames
from rl.residual.buffer import ResidualBuffer
from rl.residual.reward_form import RewardForm
from rl.residual.rewards import learned_from, rewards_of_signal, step_signal
from rl.residual.shaping import potentials

_PLAIN = RewardForm()


@dataclass(frozen=True)
class Labelled:
    """One demonstration beside the base policy."""

    episode: Episode
    base_actions: NDArray[np.float64]  # [T+1, A]: the next observation of the last step needs one too
    features: NDArray[np.float32]  # [T+1, F] of what cameras saw, where observations have any
    clipped: NDArray[np.bool_]  # [T, A] where the expert is further from the base than a residual reaches
    kept: NDArray[np.bool_]  # [T] steps that are transitions to learn from


def label(demonstration: Episode, environment: PracticeEnvironment, executed: bool = False) -> Labelled:
    """Run the environment's base policy through a demonstration. To be called between episodes: it is reset.

    executed: stored is what was carried out and led to the next state, its noise included, not the expert's label.
    """
    environment.base.reset(seed_of(demonstration), own_frames(demonstration, environment.base.cameras))
    base = np.array([environment.ask_base(state) for state in demonstration.states])
    actions = np.asarray(demonstration.executed_actions if executed else labels(demonstration), np.float64)
    residuals, short = zip(*map(environment.correction, base[:-1], actions), strict=True)
    doubles = {name: array.astype(np.float64) for name, array in demonstration.arrays.items()}
    acted = {"base_actions": base[:-1], "residual_actions": np.array(residuals)}
    about = {**demonstration.about, "residual_scale": environment.residual_scale}
    episode = replace(demonstration, **doubles | acted, about=about)
    features = environment.features_of(demonstration)
    return Labelled(episode, base, features, np.array(short), learned_from(demonstration))


def own_frames(demonstration: Episode, cameras: Iterable[str]) -> CameraFrames:
    """Shows what the cameras saw of the demonstration."""
    return lambda step: {camera: np.asarray(demonstration.frames[camera][step]) for camera in cameras}


def check_fit(demonstrations: Sequence[Episode], environment: PracticeEnvironment) -> None:
    """Check that demonstrations can be practised with in an environment.

    Raises BadDemonstration for none, for one of another state or action space than the environment's, and for one that
    lacks frames which its base policy needs.
    """
    actions = environment.base_slice.stop - environment.base_slice.start
    check_sizes(demonstrations, environment.state_slice.stop, actions)
    check_frames(demonstrations, environment.base.cameras)


def check_recorded(demonstrations: Sequence[Episode]) -> None:
    """Raises BadDemonstration for one that a reward which sees cannot be asked about."""
    for demonstration in demonstrations:
        if demonstration.recording is None:
            raise BadDemonstration(
                f"demonstration {demonstration.seed} has no recording, which a reward that sees needs: make "
                "demonstrations with `mpr demos`"
            )


def demonstration_buffer(
    demonstrations: Sequence[Episode],
    environment: PracticeEnvironment,
    reward: RewardModel,
    form: RewardForm = _PLAIN,
    device: torch.device | str = "cpu",
    **returns: Any,
) -> tuple[ResidualBuffer, float]:
    """A full buffer of all transitions but gaps and held steps, and the share of their labels that were clipped.

    `returns`: ResidualBuffer's n_steps, gamma and potential.

    To be called between episodes. Raises BadDemonstration as `label_all` does.
    """
    shown = label_all(demonstrations, environment)
    signals = [step_signal(reward, one.episode) for one in shown]
    return fill_buffer(shown, signals, environment, form, device, **returns), clipped_share(shown)


def label_all(
    demonstrations: Sequence[Episode], environment: PracticeEnvironment, executed: bool = False
) -> list[Labelled]:
    """Demonstrations beside the base policy; `executed` as for `label`.

    To be called between episodes. Raises BadDemonstration, as `check_fit` does, and where there is no transition.
    """
    check_fit(demonstrations, environment)
    shown = [label(demonstration, environment, executed) for demonstration in demonstrations]
    if not any(one.kept.any() for one in shown):
        raise BadDemonstration(
            f"{len(demonstrations)} demonstrations, each step of them a gap or held: there is no transition"
        )
    return shown


def clipped_share(shown: Sequence[Labelled]) -> float:
    """The share of labels' numbers that a residual does not reach."""
    return float(np.concatenate([one.clipped[one.kept] for one in shown]).mean())


def fill_buffer(
    shown: Sequence[Labelled],
    signals: Sequence[NDArray[np.float32]],
    environment: PracticeEnvironment,
    form: RewardForm = _PLAIN,
    device: torch.device | str = "cpu",
    **returns: Any,
) -> ResidualBuffer:
    """A full buffer of all transitions but gaps and held steps, whose signals are given, each [T].

    `returns`: ResidualBuffer's n_steps, gamma and potential.
    """
    rows = sum(int(one.kept.sum()) for one in shown)
    buffer = ResidualBuffer(rows, environment.observation_space, environment.action_space, device, **returns)
    for one, signal in zip(shown, signals, strict=True):
        phi = potentials(signal, one.kept, form.signal_weight) if form.potential else None
        _store(one, rewards_of_signal(signal, one.episode, form, one.kept), phi, buffer)
    return buffer


def _store(
    one: Labelled, rewards: NDArray[np.float32], phi: NDArray[np.float64] | None, buffer: ResidualBuffer
) -> None:
    episode = one.episode
    assert episode.residual_actions is not None
    seen = observe(np.concatenate([episode.states, one.features], axis=1), one.base_actions)
    buffer.add_episode(seen, episode.residual_actions, rewards, one.kept, episode.truncated, phi)
