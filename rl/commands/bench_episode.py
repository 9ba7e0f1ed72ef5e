"""Where the time goes when a residual policy practises: whole episodes in the kitchen with all their updates, by part.

The real pieces, untrained: kitchen, diffusion policy (size `tiny`, on states), dense reward, and the learner that
`mpr finetune` makes. Images are taken when a policy with cameras would look, and not looked at.
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

from mpr.core.errors import NoGL
from rl.commands.bench_updates import BENCH_TRANSITIONS, fill
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.setting import ACTION, STATE
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.residual import ResidualEnvironment
from rl.environments.setting import ZERO, Setting
from rl.policies.diffusion.policy import CameraFrames, DiffusionActor, DiffusionPolicy, PolicyShape
from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import POLICY_SIZES
from rl.policies.diffusion.views import CameraEncoder
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.config import FinetuneConfig
from rl.residual.rewards import find_reward
from rl.residual.train import make_learner

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

    def __str__(self) -> str:
        camera = f"{self.images} images of {PIXELS} pixels" if self.images else "not rendered: no GL"
        lines = [f"{self.episodes} episodes of practice, {self.steps} steps and {self.updates} updates:"]
        for part, share in self.shares.items():
            about = f", {camera}" if part == "camera" else ""
            lines.append(f"{self.seconds[part]:8.2f} s {share:6.1%}  {part}{about}")
        return "\n".join(lines)

    @property
    def shares(self) -> dict[str, float]:
        total = sum(self.seconds.values())
        return {part: seconds / total for part, seconds in self.seconds.items()}


def time_episodes(episodes: int, batch: int) -> EpisodeTimes:
    """Practise that many episodes from an untrained base policy, after an image and an action that are not counted."""
    with kitchen_with_base(Setting(ENVIRONMENT, ZERO)) as environment:
        return _time_episodes(environment, episodes, batch)


def _time_episodes(environment: ResidualEnvironment, episodes: int, batch: int) -> EpisodeTimes:
    watch, kitchen, reward = PartsWatch(), environment.env, find_reward("dense", Setting(ENVIRONMENT))
    assert isinstance(kitchen, KitchenEnvironment)
    config = FinetuneConfig(ENVIRONMENT, base=ZERO, batch=batch, warmup_steps=0)
    model = make_learner(config, environment)
    demonstrations = ResidualBuffer(
        BENCH_TRANSITIONS, model.observation_space, model.action_space, "cpu", **config.returns
    )
    fill(demonstrations)
    model.set_demonstrations(demonstrations)
    model.set_logger(Logger(folder=None, output_formats=[]))
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
    return EpisodeTimes(episodes, model.num_timesteps, model._n_updates, watch.calls["camera"], seconds)


def _untrained(look: CameraFrames) -> DiffusionActor:
    """A base policy of random weights. Its state is all it sees, but given an encoder it asks for images too."""
    torch.manual_seed(0)
    policy = DiffusionPolicy(PolicyShape(STATE, ACTION, widths=POLICY_SIZES["tiny"].widths))
    return DiffusionActor(
        policy, Sampler("ddim", 10), CameraEncoder("resnet18", POLICY_SIZES["tiny"].image, Path()), look
    )
