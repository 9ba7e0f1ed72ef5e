"""Where the time goes when a residual policy practises: whole episodes in the kitchen with all their updates, by part.

The real pieces, untrained: kitchen, diffusion policy (size `tiny`, on states), dense reward, and the learner that
`mpr finetune` makes. Images are taken when a policy with cameras would look, and not looked at. What a reward that sees
takes for such an episode is timed apart, by tracker.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from mpr.core.data.episode import Episode
from mpr.core.errors import NoGL
from mpr.reward.trackers import EXACT
from rl.commands.bench_updates import BENCH_TRANSITIONS, fill
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.setting import ACTION, STATE
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.residual import ResidualEnvironment
from rl.environments.setting import ZERO, RewardView, Setting
from rl.policies.diffusion.policy import CameraFrames, DiffusionActor, DiffusionPolicy, PolicyShape
from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import POLICY_SIZES
from rl.policies.diffusion.views import CameraEncoder
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.config import FinetuneConfig
from rl.residual.rewards import find_reward
from rl.residual.train import make_learner
from tracking.trackers.registry import LUCAS_KANADE

ENVIRONMENT, VIEW, PIXELS = "kitchen:microwave", "front", 128


class PartsWatch:
    """Seconds and calls of what it wraps, by part. Time in a wrapped call inside another one is the inner one's."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._clock = clock
        self._inner: list[float] = []  # of each call under way, the seconds that are others'

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = self._clock()
            try:
                return work(*args, **kwargs)
            finally:
                took = self._clock() - start
                self.seconds[part] += took - self._inner.pop()
                self.calls[part] += 1
                if self._inner:
                    self._inner[-1] += took

        return call


@dataclass(frozen=True)
class EpisodeTimes:
    """What some episodes were, and seconds by part."""

    episodes: int
    steps: int
    updates: int
    images: int  # 0: nothing can be rendered here
    seconds: dict[str, float]
    rewards: dict[str, float]  # tracker -> seconds that reward any_motion takes for the last episode; {}: not rendered

    def beside(self, other: EpisodeTimes) -> str:
        """This part by part beside the same episodes done another way, that way's seconds over these."""
        pairs = {part: (there, self.seconds[part]) for part, there in other.seconds.items() if there}
        pairs["all of it"] = sum(other.seconds.values()), sum(self.seconds.values())
        return "\n".join(f"{a:8.2f} s {b:8.2f} s {a / b:5.2f} times  {part}" for part, (a, b) in pairs.items())

    def __str__(self) -> str:
        camera = f"{self.images} images of {PIXELS} pixels" if self.images else "not rendered: no GL"
        lines = [f"{self.episodes} episodes of practice, {self.steps} steps and {self.updates} updates:"]
        for part, share in self.shares.items():
            about = f", {camera}" if part == "camera" else ""
            lines.append(f"{self.seconds[part]:8.2f} s {share:6.1%}  {part}{about}")
        for tracker, seconds in self.rewards.items():
            lines.append(f"{seconds:8.2f} s         reward any_motion of the last episode, {tracker} tracks")
        return "\n".join(lines)

    @property
    def shares(self) -> dict[str, float]:
        total = sum(self.seconds.values())
        return {part: seconds / total for part, seconds in self.seconds.items()}


def time_episodes(episodes: int, batch: int, compiled: bool = False) -> EpisodeTimes:
    """Practise that many episodes from an untrained base policy, after an image, an action and two updates that are not
    counted; compiled updates take longer to be made."""
    with kitchen_with_base(Setting(ENVIRONMENT, ZERO), VIEW) as environment:
        return _time_episodes(environment, episodes, batch, compiled)


def time_rewards(episode: Episode) -> dict[str, float]:
    """Seconds that reward any_motion takes for an episode with a recording, by tracker; none where nothing renders."""
    try:
        rewards = {
            tracker: find_reward("any_motion", Setting(ENVIRONMENT), RewardView(tracker=tracker, view=VIEW))
            for tracker in (EXACT, LUCAS_KANADE)
        }
    except NoGL:
        return {}
    watch = PartsWatch()
    for tracker, reward in rewards.items():
        watch.timed(tracker, reward.score)(episode)
    return dict(watch.seconds)


def _time_episodes(environment: ResidualEnvironment, episodes: int, batch: int, compiled: bool) -> EpisodeTimes:
    watch, kitchen, reward = PartsWatch(), environment.env, find_reward("dense", Setting(ENVIRONMENT))
    assert isinstance(kitchen, KitchenEnvironment)
    config = FinetuneConfig(ENVIRONMENT, base=ZERO, batch=batch, warmup_steps=0)
    model = make_learner(config, environment, compiled)
    demonstrations = ResidualBuffer(
        BENCH_TRANSITIONS, model.observation_space, model.action_space, "cpu", **config.returns
    )
    fill(demonstrations)
    model.set_demonstrations(demonstrations)
    model.set_logger(Logger(folder=None, output_formats=[]))
    fill(model.buffer)
    model.train(2, batch)
    model._n_updates, model.buffer.full = 0, False
    with KitchenImages(kitchen.task, [VIEW], PIXELS) as images:
        environment.base = base = _untrained(watch.timed("camera", lambda step: images.now(kitchen)))
        state, _ = kitchen.reset(seed=0)
        try:
            images.now(kitchen)
        except NoGL:
            base.look = None
        base.reset(0)
        base.act(state)
        for part, owner, name in (
            ("simulation", kitchen, "reset"),
            ("simulation", kitchen, "step"),
            ("base policy", base, "act"),
            ("reward", reward, "score"),
            ("updates", model, "train"),
        ):
            setattr(owner, name, watch.timed(part, getattr(owner, name)))
        watch.seconds.clear()
        watch.calls.clear()
        practise = watch.timed("the rest", model.learn)
        for _ in range(episodes):
            practise(1, EpisodeRewards(reward), log_interval=10**9, reset_num_timesteps=False)
    order = ("simulation", "camera", "base policy", "reward", "updates", "the rest")
    seconds = {part: watch.seconds[part] for part in order}
    assert environment.finished is not None
    rewards = time_rewards(environment.finished)
    return EpisodeTimes(episodes, model.num_timesteps, model._n_updates, watch.calls["camera"], seconds, rewards)


def _untrained(look: CameraFrames) -> DiffusionActor:
    """A base policy of random weights. Its state is all it sees, but given an encoder it asks for images too."""
    torch.manual_seed(0)
    policy = DiffusionPolicy(PolicyShape(STATE, ACTION, widths=POLICY_SIZES["tiny"].widths))
    return DiffusionActor(
        policy, Sampler("ddim", 10), CameraEncoder("resnet18", POLICY_SIZES["tiny"].image, Path()), look
    )
