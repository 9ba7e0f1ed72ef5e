"""What `mpr robot replay` does: films of a recorded episode, and of the arm that follows it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import RunFolder
from robot.commands.replay import ReplayConfig
from robot.environment import Stopped
from robot.hardware.action import ACTION_SIZE, HALF_WIDTH, STEP_M, turn_base_of
from robot.hardware.counting import FROM_MEASURED
from robot.hardware.pose import Pose, between, distance_between, turn_base_between
from robot.recording.film import save_film
from robot.recording.recorded import load_recorded
from robot.session import episode_summary, one_episode, open_recorder, session_environment, watch_session
from robot.station import Station, station
from robot.teleop.operator import Mark, Operator

_SLACK = STEP_M  # metres from the recorded path, up to which it goes on along it: as far as an action pulls
_HALF = 0.5  # of a quaternion's length, 1 as recorded
_SPARE = 10.0  # seconds more than the path should take


class RecordedPath:
    """A BasePolicy that follows recorded poses, no faster than `speed` times the recorded pace.

    It moves on along them as the arm comes near.
    """

    targets = FROM_MEASURED  # what its actions count from

    def __init__(self, episode: Episode, speed: float, rate_hz: float) -> None:
        self.poses = [_pose(state) for state in episode.states]
        # Where it was sent last: a door that resists is not pulled all the way by going to where it was let go.
        last = episode.executed_actions[-1]
        if episode.about.get("targets", FROM_MEASURED) == FROM_MEASURED:
            self.poses.append(self.poses[-2].moved(STEP_M * last[:3], turn_base_of(last)))
        else:
            self.poses.append(self.poses[-1])
        # What the gripper was told, not where it got to: it may have held something.
        self.widths = HALF_WIDTH * (1 + episode.executed_actions[:, 7])
        self.times = np.append(episode.times, 2 * episode.times[-1] - episode.times[-2])
        self.pace = speed / rate_hz  # recorded seconds a step

    @property
    def cameras(self) -> Mapping[str, Any]:
        return {}

    def reset(self, seed: int, look: object = None) -> None:
        """Before the first pose."""
        self.at = 0.0  # recorded seconds

    @property
    def over(self) -> bool:
        return self.at >= self.times[-1]

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [8] towards the recorded pose whose turn it is, for the arm's state [8]."""
        here = _pose(np.asarray(observation, np.float64))
        if distance_between(here, self.pose(self.at)) < _SLACK:
            self.at = min(self.at + self.pace, float(self.times[-1]))
        goal = self.pose(self.at)
        k = min(int(np.searchsorted(self.times, self.at, "right")) - 1, len(self.widths) - 1)
        move = np.clip((goal.position - here.position) / STEP_M, -1, 1)
        turn = turn_base_between(here, goal).as_quat(canonical=True)
        return np.concatenate([move, turn, [self.widths[k] / HALF_WIDTH - 1]]).astype(np.float32)

    def pose(self, time: float) -> Pose:
        """Between the recorded ones."""
        k = min(max(int(np.searchsorted(self.times, time, "right")) - 1, 0), len(self.times) - 2)
        share = (time - self.times[k]) / (self.times[k + 1] - self.times[k])
        return between(self.poses[k], self.poses[k + 1], float(np.clip(share, 0, 1)))


class UntilOver:
    """An Operator beside whom the end of the path ends the episode. A success is noted, and is no policy's."""

    def __init__(self, operator: Operator, path: RecordedPath) -> None:
        self.operator, self.path, self.success = operator, path, False
        self.about = f"{operator.about}   (the end of the path ends it)"
        self.begins, self.ask, self.say = operator.begins, operator.ask, operator.say

    def mark(self) -> Mark | None:
        said = self.operator.mark()
        if said in (Mark.REDO, Mark.QUIT):
            return said
        self.success |= said is Mark.SUCCESS
        return Mark.FAILURE if self.path.over or said is Mark.FAILURE else None


def replay(config: ReplayConfig) -> None:
    """Show the episode, and follow it where that was asked for. Raises UserError, and BadClip for one that is torn."""
    if not config.episode.is_dir():
        raise UserError(f"there is no episode at {config.episode}: `mpr robot run` and `mpr robot demos` record some")
    episode = load_recorded(config.episode, verify=True)
    widths = episode.states.shape[1], episode.executed_actions.shape[1]
    if widths != (ACTION_SIZE, ACTION_SIZE):
        raise UserError(f"{config.episode} is of another robot: its states and actions have {widths} numbers")
    if not (np.linalg.norm(episode.states[:, 3:7], axis=1) > _HALF).all():
        raise UserError(f"{config.episode}: some of its states are no poses; record it again")
    recorded_on = episode.about.get("arm", "")
    if config.on_arm and recorded_on != config.arm:
        raise UserError(f"{config.episode} is of the arm '{recorded_on}': its poses are no use to {config.arm}")
    with ExitStack() as stack:  # a station that is not there leaves no run folder
        at = stack.enter_context(station(config.beside(episode))) if config.on_arm else None
        run = RunFolder(config.out, "robot replay", as_dict(config), ("out", "host"))
        again = None if at is None else _follow(config.beside(episode), at, episode, run)
    lines = [f"# {config.episode.name}: {episode_summary(episode)}", ""]
    films = [run.path / "recorded.mp4"]
    save_film(episode, films[0])
    summary: dict[str, Any] = {"steps": len(episode)}
    if again is not None:
        made, marked = again
        films.append(run.path / "replayed.mp4")
        save_film(made, films[1])
        fault, off = made.about["fault"], apart(episode, made)
        way = f"{len(made)} steps, {1000 * off:.0f} mm off at most; {'a' if marked else 'no'} success was marked"
        lines.append(f"Replayed at {config.speed:g} of its speed: {fault or way}.")
        summary |= {"replayed_steps": len(made), "off_m": off, "fault": fault, "success_marked": marked}
    write_page(
        run.path / "page.html",
        "\n".join(lines) + "\n\n" + media_markdown(*(film.relative_to(run.path) for film in films)),
    )
    run.finish(summary)
    print("\n".join(lines) + f"\n{run.path / 'page.html'}")
    if fault := summary.get("fault"):
        raise UserError(f"the arm did not follow to the end: {fault}")


def _follow(config: ReplayConfig, at: Station, episode: Episode, run: RunFolder) -> tuple[Episode, bool]:
    """The arm's attempt at a recorded episode, and whether a success was marked on the way.

    It ends once the path is gone, or the operator says so; UserError where that was to quit.
    """
    path = RecordedPath(episode, config.speed, config.rate_hz)
    steps = int((episode.times[-1] / config.speed + _SPARE) * config.rate_hz)
    recorder, operator = open_recorder(run), UntilOver(at.operator, path)
    operator.say(operator.about)
    env = session_environment(config, dataclasses.replace(at, operator=operator), path, run, steps, policy="replay")
    with watch_session(env, config.wall), suppress(Stopped):
        recorder.check_room(steps, (camera.features for camera in at.cameras))
        mark = Mark.REDO
        while mark is Mark.REDO:
            operator.success = False
            made, mark = one_episode(env, config.seed)
        if mark is not Mark.QUIT:
            recorder.save(made)
            return made, operator.success
    raise UserError("the operator quit before the arm had followed the episode")


def _pose(state: NDArray[np.float64]) -> Pose:
    return Pose(state[:3], state[3:7] / np.linalg.norm(state[3:7]))


def apart(recorded: Episode, again: Episode) -> float:
    """Metres: how far the second path comes from the first at most, once it is on it."""
    first, second = recorded.states[:, :3], again.states[:, :3]
    nearest = np.linalg.norm(second[:, None] - first[None], axis=-1).min(1)
    on = np.flatnonzero(nearest < _SLACK)
    return float(nearest[on[0] :].max()) if len(on) else float(nearest.min())
