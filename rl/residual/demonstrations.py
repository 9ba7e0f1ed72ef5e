"""Demonstrations as the residual policy would have met them: its labels, its observations, its rewards.

    stored action = clip((a_demo - a_base) / alpha)

with the base policy run through each demonstration in order, as online, its chunks included; one with cameras sees the
demonstration's own frames. `a_demo` is the expert's noise-free action: execution noise in a label would be as large as
alpha.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.episode import Episode
from mpr.reward import BONUS
from mpr.rewards import RewardModel
from rl.base_policy import Look
from rl.demonstrations import BadDemonstration, Demonstration, check_frames, check_sizes
from rl.residual.buffer import ResidualBuffer
from rl.residual.environment import ResidualEnvironment, observe
from rl.residual.rewards import step_rewards


@dataclass(frozen=True)
class Labelled:
    """One demonstration beside the base policy."""

    episode: Episode
    base_actions: NDArray[np.float64]  # [T+1, A]: the next observation of the last step needs one too
    clipped: NDArray[np.bool_]  # [T, A] where the expert is further from the base than a residual reaches


def label(demonstration: Demonstration, environment: ResidualEnvironment) -> Labelled:
    """Run the environment's base policy through a demonstration. To be called between episodes: it is reset."""
    environment.base.reset(demonstration.seed, own_frames(demonstration, environment.base.cameras))
    base = np.array([environment.ask_base(state) for state in demonstration.states])
    wanted = (np.asarray(demonstration.actions, np.float64) - base[:-1]) / environment.alpha
    episode = Episode(
        frames={},
        states=np.asarray(demonstration.states, np.float64),
        times=np.asarray(demonstration.times, np.float64),
        base_actions=base[:-1],
        residual_actions=np.clip(wanted, -1.0, 1.0),
        executed_actions=np.asarray(demonstration.executed, np.float64),
        terminated=bool(demonstration.success),
        truncated=not demonstration.success,
        success=bool(demonstration.success),
        recording=demonstration.recording,
        about={"seed": int(demonstration.seed), "alpha": environment.alpha},
    )
    return Labelled(episode, base, np.abs(wanted) > 1.0)


def own_frames(demonstration: Demonstration, cameras: Iterable[str]) -> Look:
    """Shows what the cameras saw of the demonstration."""
    return lambda step: {camera: np.asarray(demonstration.frames[camera][step]) for camera in cameras}


def check_fit(demonstrations: Sequence[Demonstration], environment: ResidualEnvironment) -> None:
    """Raises BadDemonstration for none, for one of another state or action space than the environment's, and for one
    that lacks frames which its base policy needs."""
    actions = environment.base_slice.stop - environment.base_slice.start
    check_sizes(demonstrations, environment.state_slice.stop, actions)
    check_frames(demonstrations, environment.base.cameras)


def check_recorded(demonstrations: Sequence[Demonstration]) -> None:
    """Raises BadDemonstration for one that a reward which sees cannot be asked about."""
    for demonstration in demonstrations:
        if demonstration.recording is None:
            raise BadDemonstration(
                f"demonstration {demonstration.seed} has no recording, which a reward that sees needs: make "
                "demonstrations with `mpr demos`"
            )


def demonstration_buffer(
    demonstrations: Sequence[Demonstration],
    environment: ResidualEnvironment,
    reward: RewardModel,
    bonus: float = BONUS,
    device: torch.device | str = "cpu",
    **returns: Any,
) -> tuple[ResidualBuffer, float]:
    """A full buffer of all transitions, and the share of labels that were clipped. `returns`: ResidualBuffer's n_steps
    and gamma.

    To be called between episodes. Raises BadDemonstration, as `check_fit` does.
    """
    check_fit(demonstrations, environment)
    labelled = [label(demonstration, environment) for demonstration in demonstrations]
    rows = sum(len(one.episode) for one in labelled)
    buffer = ResidualBuffer(rows, environment.observation_space, environment.action_space, device, **returns)
    for one in labelled:
        _store(one, step_rewards(reward, one.episode, bonus), buffer)
    return buffer, float(np.concatenate([one.clipped for one in labelled]).mean())


def _store(one: Labelled, rewards: NDArray[np.float32], buffer: ResidualBuffer) -> None:
    episode, last = one.episode, len(one.episode) - 1
    seen = observe(episode.states, one.base_actions)
    for t, action in enumerate(episode.residual_actions):
        info = {"TimeLimit.truncated": t == last and episode.truncated}
        done = np.array([t == last])
        buffer.add(seen[t : t + 1], seen[t + 1 : t + 2], action[None], rewards[t : t + 1], done, [info])
