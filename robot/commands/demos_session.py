"""The session of `mpr robot demos`: episodes led by a hand, of which successes become demonstrations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder
from rl.policies.base_policy import BasePolicy
from robot.commands.demos import DemosConfig
from robot.policies.named import base_policy
from robot.recording.demonstrations import is_demonstration, nothing_teaches, write_demonstrations
from robot.recording.recorded import load_recorded
from robot.recording.recorder import Recorder
from robot.session import open_recorder, session, session_environment, watch_session
from robot.setting import EXPERT
from robot.station import Station, station
from robot.teleop.keyboard_operator import KeyboardOperator
from robot.teleop.policy import TeleopPolicy
from robot.teleop.registry import teleop

_FREE = ("out", "num_demos", "count", "host")  # may differ when a session goes on
_PATIENCE = 10  # episodes in a row that teach nothing, after which it ends where nobody sits there to end it


def collect_robot_demos(config: DemosConfig) -> None:
    """Guide the operator until there are enough. Raises UserError."""
    with ExitStack() as stack:
        at = stack.enter_context(station(config))
        leader = stack.enter_context(leader_of(config.leader, at))
        run = RunFolder(config.out, "robot demos", as_dict(config), _FREE)  # last: what is refused leaves none
        recorder = open_recorder(run)
        env = session_environment(config, at, leader, run, config.step_limit, policy=config.leader)
        stack.enter_context(watch_session(env, config.wall))
        done, in_vain = demonstrations(recorder), 0
        while done < config.num_demos:
            if in_vain == _PATIENCE and not config.attended:
                look = f"look at one (`mpr robot replay --episode {recorder.whole[max(recorder.whole)]}`)"
                vain = f"not one of the last {_PATIENCE} episodes is a demonstration"
                raise UserError(f"{vain}: {look}, or give more room (--step_limit is {config.step_limit}; --limits)")
            at.operator.say(f"demonstration {done + 1} of {config.num_demos}: {config.task}")
            before, had = len(recorder.whole), done
            for _ in session(env, recorder, before + 1, config.seed, finish=lambda e: finished(e, leader, at)):
                done = demonstrations(recorder)
            if len(recorder.whole) == before:
                break  # the operator quit
            in_vain = in_vain + 1 if done == had else 0
    made = write_demonstrations(recorder.whole, run.path / "demonstrations")
    successes = sum(load_recorded(folder).success for folder in recorder.whole.values())
    summary = {"episodes": len(recorder.whole), "successes": successes, "demonstrations": len(made)}
    run.finish(summary)
    print(f"{run.path / 'demonstrations'}: {len(made)} of {len(recorder.whole)} episodes, for `mpr bc --demos`")


@contextmanager
def leader_of(by: str, at: Station) -> Iterator[BasePolicy]:
    """Who leads the arm: a device in an operator's hand, or the simulated arm's expert."""
    if by == EXPERT:
        with base_policy(EXPERT, at, ahead=False) as expert:
            yield expert
        return
    assert at.keys is not None
    with teleop(by, at.keys) as device:
        assert isinstance(at.operator, KeyboardOperator)
        at.operator.others = (device.mark,)
        at.operator.say(f"{device.about}\n{at.operator.about}")
        yield TeleopPolicy(device, at.operator.say)


def finished(episode: Episode, leader: BasePolicy, at: Station) -> Episode:
    """The episode, knowing at which of its steps nothing was asked of the arm; said where it teaches nothing."""
    idle = getattr(leader, "idle", None)
    if idle is not None:
        log = dataclasses.replace(episode.log, idle=np.array(list(idle)[: len(episode)], bool))
        episode = dataclasses.replace(episode, log=log)
    if episode.success and not is_demonstration(episode):
        at.operator.say(f"a success, but no demonstration: {nothing_teaches(episode)}")
    return episode


def demonstrations(recorder: Recorder) -> int:
    """How many whole episodes of a session are demonstrations."""
    return sum(is_demonstration(load_recorded(folder)) for folder in recorder.whole.values())
