"""A session that goes on another day: what the cameras see now beside what they saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpr.core.runs import read_metrics
from robot.environment import Stopped
from robot.hardware.arm import Mode
from robot.hardware.camera import CameraImage
from robot.hardware.pose import Pose, distance_between
from robot.learning.report import VIEWS_FILE
from robot.learning.scene_change import LIGHT, MOVED, draw_views, view_change
from robot.teleop.operator import Answer
from tests.robot.learning_here import begin, config, here, toys  # noqa: F401
from tests.robot.table import Table
from tests.toy_arm import HOME
from tests.toy_robot_episodes import texture

SIDE = 128


def seen(dx: float = 0, dy: float = 0, gain: float = 1) -> NDArray[np.uint8]:
    """A still life as a camera sees it that was shifted by so many pixels, under so many times the light."""
    large = cv2.resize(texture(1, 0, 64, 64), (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
    moved = cv2.warpAffine(large, np.array([[1, 0, dx], [0, 1, dy]], float), large.shape[:2], flags=cv2.INTER_CUBIC)
    part = moved[SIDE // 2 : SIDE // 2 + SIDE, SIDE // 2 : SIDE // 2 + SIDE]
    return (part * gain).clip(0, 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.floats(-4, 4), st.floats(-4, 4), st.sampled_from([0.6, 0.8, 1.0]))
def test_a_small_shift_is_measured_whatever_the_light(dx: float, dy: float, gain: float) -> None:
    found = view_change("world", seen(), seen(dx, dy, gain))
    assert found.shift_px == pytest.approx(np.hypot(dx, dy), abs=0.3)
    assert found.brightness == pytest.approx(gain, abs=0.07) and found.other_light == (gain < 1 / (1 + LIGHT))


@settings(max_examples=25, deadline=None)
@given(st.floats(2, 60), st.floats(0, 6.3), st.sampled_from([0.6, 1.0]))
def test_any_larger_shift_is_a_camera_that_was_moved(by: float, angle: float, gain: float) -> None:
    assert by > 1.25 * MOVED * SIDE
    assert view_change("world", seen(), seen(by * np.cos(angle), by * np.sin(angle), gain)).moved


def test_another_picture_and_one_of_another_size_are_moved() -> None:
    other = view_change("wrist", seen(), np.ascontiguousarray(texture(9, 4, SIDE, SIDE)))
    assert other.shift_px is None and other.moved and "shows something else" in str(other)
    assert view_change("wrist", seen(), seen()[:64]).moved


def test_a_wall_without_texture_has_not_moved_where_it_is_the_same() -> None:
    wall = np.full((SIDE, SIDE, 3), 90, np.uint8)
    assert str(view_change("world", wall, wall)) == "world: shifted by 0.0 pixels, 1.00 times as bright (as before)"
    assert view_change("world", wall, wall + 60).other_light


def test_a_thing_put_back_a_little_elsewhere_is_no_moved_camera() -> None:
    now = seen()
    now[40:80, 30:60] = texture(5, 0, 40, 30)
    found = view_change("world", seen(), now)
    assert found.shift_px is not None and found.shift_px < 0.1 and not found.moved


def test_both_are_drawn(tmp_path: Path) -> None:
    before, now = {"world": seen(), "wrist": seen(3)[:96]}, {"world": seen(5), "wrist": seen(3)}
    draw_views(tmp_path / "views.png", before, now)
    drawn = cv2.imread(str(tmp_path / "views.png"))
    assert drawn is not None and drawn.shape == (SIDE + 96, 3 * SIDE, 3)


def practise_some(out: Path, episodes: int, table: Table | None = None) -> Table:
    table = table or toys()
    begin(config(out, episodes=episodes), table)
    return table


def brighter(image: CameraImage) -> CameraImage:
    return replace(image, image=(image.image * 1.6).astype(np.uint8))


def test_a_session_that_goes_on_shows_and_asks_once(tmp_path: Path) -> None:
    first = practise_some(tmp_path, 2)
    assert not any("shifted" in asked for asked in first.operator.asked) and not (tmp_path / VIEWS_FILE).exists()
    second = practise_some(tmp_path, 4)
    asked = [question for question in second.operator.asked if "times as bright" in question]
    assert len(asked) == 1 and asked[0].startswith("world: shifted by 0.0 pixels") and "go on like this?" in asked[0]
    assert (tmp_path / VIEWS_FILE).exists()


def test_a_camera_that_was_moved_is_told_and_logged(tmp_path: Path) -> None:
    practise_some(tmp_path, 2)
    table = toys()
    for camera in table.cameras:
        latest = camera.latest
        camera.latest = lambda latest=latest: brighter(latest())  # type: ignore[method-assign]
    practise_some(tmp_path, 3, table)
    told = [row["message"] for row in read_metrics(tmp_path) if row.get("kind") == "view changed"]
    assert len(told) == 1 and "1.59 times as bright (other light)" in told[0]
    assert any("1.59 times as bright" in said for said in table.operator.said)


def test_who_does_not_go_on_like_this_loses_nothing(tmp_path: Path) -> None:
    practise_some(tmp_path, 2)
    table = toys()
    table.operator.answers.extend([Answer.GO, Answer.QUIT])
    practise_some(tmp_path, 4, table)
    assert "times as bright" in table.operator.asked[-1]
    assert len(list((tmp_path / "episodes").glob("episode_*"))) == 2
    practise_some(tmp_path, 4)
    assert len(list((tmp_path / "episodes").glob("episode_*"))) == 4


def test_what_was_mended_while_it_was_asked_is_looked_at_again() -> None:
    """An arm that was led away goes home and is shown again; one in trouble is asked about first."""
    table, shown, homes = Table(), list[int](), [0]
    home = table.arm.home
    table.arm.home = lambda: (homes.append(0), home())[1]  # type: ignore[method-assign]

    def look_over(images: object) -> str:
        shown.append(len(homes) - 1)
        return "go on like this?"

    def led_away(question: str) -> None:
        if question == "go on like this?" and len(shown) == 1:
            table.arm.pose = Pose(table.arm.pose.position + np.array([0.05, 0, 0]), table.arm.pose.quaternion)

    table.env.look_over, table.operator.when_asked = look_over, led_away
    table.env.reset(seed=0)
    assert shown == [1, 2] and distance_between(table.env.seen.state.pose, HOME) < 0.01

    def stopped(question: str) -> None:
        table.arm.mode = Mode.STOPPED if question == "go on like this?" and len(shown) == 3 else Mode.IDLE

    table.env.look_over, table.operator.when_asked = look_over, stopped
    table.env.reset(seed=1)
    assert len(shown) == 4 and any("stopped by its user" in asked for asked in table.operator.asked)
    assert table.env.guard.latched is None


def test_an_environment_s_view_is_looked_over_once() -> None:
    table, shown = Table(), list[list[str]]()
    table.env.look_over = lambda images: (shown.append(sorted(images)), "fine?")[1]
    table.env.reset(seed=0)
    table.env.reset(seed=1)
    assert shown == [["world", "wrist"]] and table.operator.asked.count("fine?") == 1
    table.env.look_over = lambda images: "and now?"
    table.operator.answers.extend([Answer.GO, Answer.QUIT])
    with pytest.raises(Stopped):
        table.env.reset(seed=2)
