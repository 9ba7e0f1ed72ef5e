"""Episodes one after another: run, marked, on disk and closed before the next begins."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.steps import spacing, spacing_summary
from mpr.core.runs import RunFolder
from rl.policies.base_policy import BasePolicy
from robot.environment import FrankaEnv, Observation, Stopped
from robot.hardware.action import ACTION_SIZE
from robot.interrupt import uninterrupted
from robot.recording.film import ending
from robot.recording.recorded import episode_figures, load_recorded
from robot.recording.recorder import Recorder
from robot.safety.guard import Event
from robot.safety.watchdog import Watchdog
from robot.station import Station, StationConfig
from robot.teleop.operator import Mark


class ArmResidual:
    """Who corrects the base policy in an episode; this one corrects nothing."""

    def begin(self, seed: int) -> None:
        """An episode of that seed has been reset to."""

    def saw(self, observation: Observation, time_s: float) -> None:
        """What there is to see, each of the T+1 times; `time_s` on the session's clock."""

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The residual [8] in -1..1 for what was seen last."""
        return np.zeros(ACTION_SIZE, np.float32)


NO_RESIDUAL = ArmResidual()


def session(
    env: FrankaEnv,
    recorder: Recorder,
    count: int,
    seed: int = 0,
    residual: ArmResidual = NO_RESIDUAL,
    finish: Callable[[Episode], Episode] = lambda episode: episode,
) -> Iterator[Path]:
    """Until `count` episodes are on disk, those that were there already included: each new one's folder.

    An episode that the operator wants redone is not kept, and begins again from the same seed; quitting ends the
    session. The first episode's seed is `seed`, each other's one more than the last one's that was kept.
    """
    seeds = [load_recorded(folder).seed for folder in recorder.whole.values()]
    seed = max([seed, *(1 + there for there in seeds if there is not None)])
    while len(recorder.whole) < count:
        recorder.check_room(env.step_limit, (camera.features for camera in env.cameras))
        try:
            episode, mark = one_episode(env, seed, residual)
        except Stopped:
            return
        if mark in (Mark.REDO, Mark.QUIT):
            env.finished = episode = None
            env.operator.say(f"not kept: {mark.value}")
            if mark is Mark.QUIT:
                return
            continue
        with uninterrupted():  # the arm is held: there is time to keep what somebody marked
            episode = finish(episode)
            folder = recorder.save(episode)
            env.operator.say(f"{folder.name}: {episode_summary(episode)}")
        env.finished = episode = None  # its images are on disk: they need not be in memory too
        seed += 1
        yield folder


def one_episode(env: FrankaEnv, seed: int, residual: ArmResidual = NO_RESIDUAL) -> tuple[Episode, Mark | None]:
    """From reset to its end. Raises Stopped where the operator quits before it began."""
    observation, _ = env.reset(seed=seed)
    residual.begin(seed)
    residual.saw(observation, env.seen.time)
    while True:
        observation, _, terminated, truncated, info = env.step(residual.act(observation))
        residual.saw(observation, env.seen.time)
        if terminated or truncated:
            assert env.finished is not None
            return env.finished, info["mark"]


def open_recorder(run: RunFolder) -> Recorder:
    """The run's recorder, to add to what is there; what is wrong with episodes that are there already is said."""
    run.reopen()
    recorder = Recorder(run.path / "episodes")
    if recorder.leftovers or recorder.damaged:
        print("\n".join(recorder.report()))
    return recorder


def session_environment(
    config: StationConfig, at: Station, base: BasePolicy, run: RunFolder, step_limit: int, policy: str = ""
) -> FrankaEnv:
    """The station as an environment, whose guard is heard on the screen and in the run's metrics.jsonl.

    Events come from whichever thread they come from.
    """

    def on_event(event: Event) -> None:
        print(f"{event.kind}: {event.message}", file=sys.stderr, flush=True)  # first: the disk may be full
        run.log(what="event", time=event.time, kind=event.kind, message=event.message, ask=event.ask)

    return FrankaEnv(
        at.arm,
        at.cameras,
        base,
        at.operator,
        clock=at.clock,
        limits=config.limits,
        rate_hz=config.rate_hz,
        step_limit=step_limit,
        task=config.task,
        targets=config.targets,
        about={"policy": policy, "limits": dataclasses.asdict(config.limits)},
        on_event=on_event,
    )


@contextmanager
def watch_session(env: FrankaEnv, wall: bool) -> Iterator[None]:
    """To be entered last, so that leaving begins with it: the arm is held, then everything else is let go."""
    with ExitStack() as stack:
        if wall:
            stack.enter_context(Watchdog(env.guard))
        stack.callback(env.guard.rest)
        yield


def episode_summary(episode: Episode) -> str:
    """An episode in one line."""
    held = ", ".join(f"{kind} {count}" for kind, count in (episode_figures(episode)["held"] or {}).items())
    late = f"; {spacing_summary(spacing((episode.times, episode.gaps)))}" if episode.gaps.any() else ""
    return f"{ending(episode)} after {len(episode)} steps" + (f"; held at: {held}" if held else "") + late
