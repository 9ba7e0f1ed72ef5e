"""From a reward model's signal to the rewards that are learned from; and the rewards known by name.

r_t = -1 + bonus * [success at step t] + signal_weight * signal_t for every reward but the environment's own, which is
taken as it is (rl.residual.reward_form). What the signal is, is the reward's business; an action that was not sent has
none. Where the step that succeeds is none to learn from, held or late, the success is that of the last one before it
that is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.reward.agreement import training_reward
from mpr.reward.goal import read_goal
from mpr.reward.model import Given, RewardModel
from mpr.reward.registry import reward_class
from rl.environments.registry import kind_of
from rl.environments.setting import RewardView, Setting
from rl.residual.config import check_reward
from rl.residual.reward_form import RewardForm
from rl.residual.shaping import potentials, shaping_rewards

_PLAIN = RewardForm()


def find_reward(name: str, setting: Setting, reward_view: RewardView | None = None) -> RewardModel:
    """The reward of that name in an environment.

    Raises UserError as `check_reward` does, for a view that does not exist and a goal image that is none, BadCheckpoint
    for a predictor or representation that cannot be read or is still in training, and NoGL where a reward that sees
    could not.
    """
    reward_view = reward_view or RewardView()
    check_reward(name, setting.env, reward_view)
    reward = reward_class(name)
    goal = _goal_image(setting, reward_view) if reward.compares else None
    track = kind_of(setting.env).track(setting, reward_view) if reward.sees else None
    asked = (reward_view.motion_threshold_px, setting.goal_travel, reward_view.representation, goal)
    return reward.of(Given(setting.name, reward_view.predictor, track, *asked))


def _goal_image(setting: Setting, reward_view: RewardView) -> NDArray[np.uint8]:
    """What was given as the goal, else the environment's own. Raises UserError."""
    if reward_view.goal_image is not None:
        return read_goal(reward_view.goal_image)
    return kind_of(setting.env).goal_image(setting, reward_view.view)


def step_rewards(
    reward: RewardModel, episode: Episode, form: RewardForm = _PLAIN, kept: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """r_t float32 [T]; a success is at the last step that is learned from.

    kept: [T] which steps those are; all but gaps and held ones where nobody says. Where the episode's last step is none
    of them, the environment's own reward for a termination there moves likewise, to be added to what stands there.
    Raises ValueError for a signal of another shape or range.
    """
    return rewards_of_signal(step_signal(reward, episode), episode, form, kept, reward.whole)


def step_signal(reward: RewardModel, episode: Episode) -> NDArray[np.float32]:
    """What the reward says of each step, float32 [T]; an action that was not sent agrees with nothing.

    Raises ValueError for another shape.
    """
    signal = reward.score(episode)
    if signal.shape != (len(episode),):
        raise ValueError(f"{type(reward).__name__} gave {signal.shape} for an episode of {len(episode)} steps")
    return signal if reward.whole else np.where(episode.log.unsent(len(episode)), np.float32(0), signal)


def learned_from(episode: Episode) -> NDArray[np.bool_]:
    """Which steps [T] are transitions to learn from: all but gaps and held ones."""
    return ~(episode.gaps | episode.log.unsent(len(episode)))


def rewards_of_signal(
    signal: NDArray[np.float32],
    episode: Episode,
    form: RewardForm = _PLAIN,
    kept: NDArray[np.bool_] | None = None,
    whole: bool = False,
) -> NDArray[np.float32]:
    """`step_rewards` [T] of a signal [T] that is known; `whole`: it is the environment's own reward.

    A form with a potential pays shaping rewards in the signal's place.
    """
    kept = learned_from(episode) if kept is None else kept
    end = int(np.flatnonzero(kept)[-1]) if kept.any() else len(episode) - 1
    if whole:
        return _ending_at(end, signal) if episode.terminated else signal
    success = np.zeros(len(episode), bool)
    success[end] = episode.success
    if form.potential:
        phi = potentials(signal, kept, form.signal_weight)
        return (training_reward(signal, success, form.bonus, 0.0) + shaping_rewards(phi, form.gamma)).astype(np.float32)
    return training_reward(signal, success, form.bonus, form.signal_weight)


def _ending_at(end: int, rewards: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rewards [T] of which the last is paid at step `end`, beside that step's own."""
    moved = np.append(rewards[:-1], np.float32(0))
    moved[end] += rewards[-1]
    return moved
