"""The checks of `mpr robot check`, one after another, and their page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.report.drawing import write_text
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import RunFolder, atomic_path
from robot.commands.check import CheckConfig
from robot.hardware.action import HALF_WIDTH, STEP_M
from robot.hardware.arm import ArmFeatures, ArmState
from robot.hardware.clock import Pace
from robot.hardware.pose import Pose, angle_between, distance_between
from robot.hardware.view import CameraPlacement, read_view
from robot.safety.guard import Guard, Held
from robot.safety.limits import Limits, box_edges
from robot.safety.watch import Seen
from robot.safety.watchdog import Watchdog
from robot.station import Station, station
from robot.teleop.operator import Answer

TURNED, OFF = 0.1, 0.02  # radians, metres: home is where it should be up to these
MOVE, SEEN = 0.02, 0.002  # metres: the arm is sent so far up, and has answered once it went so far
_ANSWER = 0.4  # seconds that it has for it
_FOLLOWED = 0.1  # of what it is asked for, at least
ASKED, _BEATS = 0.008, 6  # metres a beat that the arm is asked to go, so often up and so often down


def check(config: CheckConfig) -> None:
    """Look, measure, move, and write the page. Raises UserError where a check failed."""
    view = read_view(config.world_view) if config.world_view else None
    with station(config) as at:
        found = []
        for one in checked(config, at):
            found.append(one)
            at.operator.say(str(one))
        lines = [f"# {at.arm.features.name}: a check", "", *map(str, found)]
        images = {camera.features.name: camera.latest().image for camera in at.cameras}
        view = view or at.cameras[0].features.view
    run = RunFolder(config.out, "robot check", as_dict(config), ("out", "host"))
    for number, (name, image) in enumerate(images.items()):
        drawn = with_box(image, view, config.limits) if number == 0 and view else image
        with atomic_path(run.path / f"{name}.png") as temporary:
            cv2.imwrite(str(temporary), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    rest = [] if view else ["- the workspace is not drawn: --world_view gives the standing camera's calibration"]
    rest += ["", "| limit | value |", "|---|---|"]
    rest += [f"| {one.name} | {getattr(config.limits, one.name)} |" for one in fields(config.limits)]
    lines += rest
    write_page(
        run.path / "page.html", "\n".join(lines) + "\n\n" + media_markdown(*(Path(f"{name}.png") for name in images))
    )
    failed = [one.text for one in found if not one.good]
    run.finish({"failed": failed, "lines": lines})
    print("\n".join(rest))
    if failed:
        raise UserError(f"{len(failed)} of the checks failed: {run.path / 'page.html'}")


@dataclass(frozen=True)
class Check:
    """What one check found."""

    good: bool
    text: str  # one line

    def __str__(self) -> str:
        """A line of a page's list; bold where it failed."""
        return f"- {self.text}" if self.good else f"- **{self.text}**"


def checked(config: CheckConfig, at: Station) -> Iterator[Check]:
    """Each check as it is made. An arm that is not well is not moved."""
    state = at.arm.state()
    well = state.mode.obeys and not state.errors
    yield Check(well, f"mode '{state.mode.value}', errors: {list(state.errors)}")
    if config.move and well:
        moves = "the hand opens, the arm goes home by its joints, then 2 cm up, and up and down by 5"
        if at.operator.ask(f"{moves}: is its way free, and nothing in its hand?") is Answer.QUIT:
            raise UserError("the operator did not let it move; --move false only looks")
        at.arm.home()
        yield home_line(at.arm.features, at.arm.state())
        yield (answer := answer_line(at, config))
        if answer.good:
            yield followed_line(at, config)
    yield inside_line(at.arm.state(), config.limits)
    yield from rate_lines(at, config)


def home_line(features: ArmFeatures, state: ArmState) -> Check:
    """Whether the arm at home reports the pose it should; and if not, whether its quaternion has another order."""
    angle, distance = angle_between(features.home, state.pose), distance_between(features.home, state.pose)
    text = f"home: {distance * 1000:.1f} mm and {angle:.3f} rad from where it should be, quaternions taken as xyzw"
    x, y, z, w = state.pose.quaternion
    other = angle_between(features.home, Pose(state.pose.position, np.array([y, z, w, x])))
    if angle > TURNED and other < TURNED:
        text += "; **taken as wxyz it fits**: the driver gives another order"
    return Check(angle <= TURNED and distance <= OFF, text)


def answer_line(at: Station, config: CheckConfig) -> Check:
    """How long the arm takes to answer a command; through the guard, as every command."""
    guard = Guard(at.arm, config.limits, at.clock)
    with Watchdog(guard) if config.wall else nullcontext():
        try:
            return _answered(at, guard)
        finally:
            guard.rest()


def _answered(at: Station, guard: Guard) -> Check:
    images = {camera.features.name: camera.latest() for camera in at.cameras}
    before = at.arm.state()  # last: the first look at a camera may take long, and a state grows old
    action = np.array([0, 0, MOVE / STEP_M, 0, 0, 0, 1, before.width / HALF_WIDTH - 1])
    outcome = guard.act(action, Seen(before, images, at.clock.now()))
    if isinstance(outcome, Held):
        return Check(False, f"the guard held it: {outcome.event.message}")
    began, answered = at.clock.now(), None
    while answered is None and at.clock.now() - began < _ANSWER:
        at.clock.sleep_until(at.clock.now() + 0.002)
        if distance_between(before.pose, at.arm.state().pose) > SEEN:
            answered = at.clock.now() - began
    asked = f"sent {distance_between(before.pose, outcome.target.pose) * 100:.1f} cm up"
    if answered is None:
        return Check(False, f"{asked}, it did not move within {_ANSWER:g} s")
    return Check(True, f"{asked}, it had moved {SEEN * 1000:g} mm after {answered * 1000:.0f} ms")


def followed_line(at: Station, config: CheckConfig) -> Check:
    """How much of what it is asked for the arm does within a beat, actions counting from what `--targets` says."""
    guard = Guard(at.arm, config.limits, at.clock, targets=config.targets)
    with Watchdog(guard) if config.wall else nullcontext():
        try:
            return _followed(at, guard, Pace(at.clock, config.rate_hz))
        finally:
            guard.rest()


def _followed(at: Station, guard: Guard, pace: Pace) -> Check:
    pace.restart()
    done = []
    for way in (1,) * _BEATS + (-1,) * _BEATS:
        images = {camera.features.name: camera.latest() for camera in at.cameras}
        before = at.arm.state()
        action = np.array([0, 0, way * ASKED / STEP_M, 0, 0, 0, 1, before.width / HALF_WIDTH - 1])
        outcome = guard.act(action, Seen(before, images, at.clock.now()))
        if isinstance(outcome, Held):
            return Check(False, f"the guard held it: {outcome.event.message}")
        pace.wait()
        done.append(way * float(at.arm.state().pose.position[2] - before.pose.position[2]) / ASKED)
    share = float(np.median(done))
    text = f"asked for {ASKED * 1000:g} mm a beat, it goes {share * ASKED * 1000:.1f} mm: {share:.2f} of what is asked"
    return Check(share > _FOLLOWED, text)


def inside_line(state: ArmState, limits: Limits) -> Check:
    """Whether the end effector stands inside the workspace."""
    where = state.pose.position.round(3).tolist()
    return Check(
        limits.inside(state.pose), f"the end effector is at {where} m, the workspace {limits.low} to {limits.high}"
    )


def rate_lines(at: Station, config: CheckConfig) -> list[Check]:
    """How often state and images are new, and how old they are when they are looked at ten times a second."""
    times: dict[str, list[float]] = {name: [] for name in ("state", *(c.features.name for c in at.cameras))}
    ages: dict[str, list[float]] = {name: [] for name in times}
    began = at.clock.now()
    step = 0
    while (now := at.clock.now()) - began < config.seconds:
        seen = {"state": at.arm.state().time, **{c.features.name: c.latest().time for c in at.cameras}}
        for name, time in seen.items():
            times[name].append(time)
            if step % 50 == 0:
                ages[name].append(at.clock.now() - time)
        step += 1
        at.clock.sleep_until(now + 0.002)
    most = {name: config.limits.state_age if name == "state" else config.limits.image_age for name in times}
    return [rate_line(name, times[name], ages[name], most[name]) for name in times]


def rate_line(name: str, times: Sequence[float], ages: Sequence[float], most: float) -> Check:
    """Whether something comes at all, and is never older than `most` seconds when it is asked for.

    `times` are when what was seen was measured, `ages` how old it was then, both in seconds.
    """
    new = np.unique(times)
    rate = (len(new) - 1) / (new[-1] - new[0]) if len(new) > 1 else 0.0
    worst = float(np.max(ages))
    text = f"{name}: {rate:.0f} new a second, {1e3 * float(np.median(ages)):.0f} ms old, {1e3 * worst:.0f} at worst"
    return Check(0 <= worst <= most and rate > 0, f"{text} (limit {1e3 * most:.0f})")


def with_box(image: NDArray[np.uint8], view: CameraPlacement, limits: Limits) -> NDArray[np.uint8]:
    """The image [H, W, 3] uint8 RGB with the workspace's edges drawn in."""
    drawn = image.copy()
    for edge in box_edges(limits):
        pixels = view.pixels(edge)
        whole = pixels[np.isfinite(pixels).all(1)]
        cv2.polylines(drawn, [np.rint(whole).astype(np.int32)], False, (255, 235, 0), 1, cv2.LINE_AA)
    write_text(drawn, "workspace", 1)
    return drawn
