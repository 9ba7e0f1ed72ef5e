"""Demonstrations as the residual policy would have met them: its labels, its observations, its rewards.

    stored action = correction(a_base, a_demo),   in the kitchen clip((a_demo - a_base) / residual_scale)

with the base policy run through each demonstration in order, as online, its chunks included; one with cameras sees the
demonstration's own frames. `a_demo` is the expert's noise-free action: execution noise in a label would be as large as
the residual scale. A step that is a gap (`mpr.core.data.steps`: where idle steps were taken out) is no transition to
learn from: the base policy sees it, the buffer does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.reward.agreement import BONUS
from mpr.reward.model import RewardModel
from rl.data.demonstrations import BadDemonstration, check_frames, check_sizes, labels, seed_of
from rl.environments.practice import PracticeEnvironment
from rl.environments.residual import observe
from rl.policies.base_policy import CameraFrames
from rl.residual.buffer import ResidualBuffer
from rl.residual.rewards import step_rewards


@dataclass(frozen=True)
class Labelled:
    """One demonstration beside the base policy."""

    episode: Episode
    base_actions: NDArray[np.float64]  # [T+1, A]: the next observation of the last step needs one too
    clipped: NDArray[np.bool_]  # [T, A] where the expert is further from the base than a residual reaches


def label(demonstration: Episode, environment: PracticeEnvironment) -> Labelled:
    """Run the environment's base policy through a demonstration. To be called between episodes: it is reset."""
    environment.base.reset(seed_of(demonstration), own_frames(demonstration, environment.base.cameras))
    base = np.array([environment.ask_base(state) for state in demonstration.states])
    actions = np.asarray(labels(demonstration), np.float64)
    residuals, short = zip(*map(environment.correction, base[:-1], actions), strict=True)
    doubles = {name: array.astype(np.float64) for name, array in demonstration.arrays.items()}
    acted = {"base_actions": base[:-1], "residual_actions": np.array(residuals)}
    about = {**demonstration.about, "residual_scale": environment.residual_scale}
    episode = replace(demonstration, **doubles | acted, about=about)
    return Labelled(episode, base, np.array(short))


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
    bonus: float = BONUS,
    device: torch.device | str = "cpu",
    **returns: Any,
) -> tuple[ResidualBuffer, float]:
    """A full buffer of all transitions but gaps and held steps, and the share of their labels that were clipped.

    `returns`: ResidualBuffer's n_steps and gamma.

    To be called between episodes. Raises BadDemonstration, as `check_fit` does, and where there is no transition.
    """
    check_fit(demonstrations, environment)
    labelled = [label(demonstration, environment) for demonstration in demonstrations]
    gaps = [demonstration.gaps | demonstration.log.unsent(len(demonstration)) for demonstration in demonstrations]
    rows = sum(int((~some).sum()) for some in gaps)
    if not rows:
        raise BadDemonstration(
            f"{len(demonstrations)} demonstrations, each step of them a gap or held: there is no transition"
        )
    buffer = ResidualBuffer(rows, environment.observation_space, environment.action_space, device, **returns)
    for one, some in zip(labelled, gaps, strict=True):
        _store(one, some, step_rewards(reward, one.episode, bonus, ~some), buffer)
    clipped = [one.clipped[~some] for one, some in zip(labelled, gaps, strict=True)]
    return buffer, float(np.concatenate(clipped).mean())


def _store(one: Labelled, gaps: NDArray[np.bool_], rewards: NDArray[np.float32], buffer: ResidualBuffer) -> None:
    episode, last = one.episode, len(one.episode) - 1
    assert episode.residual_actions is not None
    seen = observe(episode.states, one.base_actions)
    for t, action in enumerate(episode.residual_actions):
        info = {"TimeLimit.truncated": t == last and episode.truncated, "gap": bool(gaps[t])}
        done = np.array([t == last])
        buffer.add(seen[t : t + 1], seen[t + 1 : t + 2], action[None], rewards[t : t + 1], done, [info])
    buffer.rewrite_rewards(rewards)
