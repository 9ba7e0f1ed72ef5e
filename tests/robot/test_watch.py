"""What is no news, and what only looks like it: images and states, one fault at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robot.hardware.action import NOTHING
from robot.safety.guard import Held, Sent
from tests.toy_session import INF, NAN, RIGHT, SEEN, Session, image_with, kinds, run


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (SEEN["stale"], "stale image"),
        (SEEN["image ahead"], "time ahead"),
        (SEEN["image without time"], "bad time"),
        (image_with(time=INF), "bad time"),
        (SEEN["black"], "black image"),
        (SEEN["no uint8"], "bad image"),
        (image_with(image=np.zeros((0, 4, 3), np.uint8)), "bad image"),
        (SEEN["no image"], "no image"),
        (SEEN["old"], "stale command"),
        (SEEN["of no time"], "bad time"),
        (lambda seen: replace(seen, state=replace(seen.state, time=NAN)), "bad time"),
        (lambda seen: replace(seen, state=replace(seen.state, time=INF)), "bad time"),
        (lambda seen: replace(seen, state=replace(seen.state, joints=np.full(7, NAN))), "bad state"),
    ],
)
def test_what_is_no_news_is_held_and_after_a_while_asked_about(change: Any, kind: str) -> None:
    session = Session()
    assert all(isinstance(done, Sent) for done in run(session, 3))
    assert all(isinstance(done, Held) for done in run(session, 1, change=change))
    assert kinds(session) == [(kind, False)]
    assert all(isinstance(done, Sent) for done in run(session, 3))  # it passes: nobody has to look
    session.told.clear()
    session.guard.log.clear()
    run(session, 20)
    assert session.told == []
    run(session, 20, change=change)
    assert kinds(session) == [(kind, False), (kind, True)]
    assert all(isinstance(done, Held) for done in run(session, 3))  # and now it does not pass
    session.guard.resume()
    assert all(isinstance(done, Sent) for done in run(session, 3))


def test_what_runs_backwards_is_held() -> None:
    for change in (
        lambda seen: replace(seen, state=replace(seen.state, time=seen.time - 0.05)),
        image_with(late=0.05),
    ):
        session = Session()
        run(session, 3)
        session.pass_time(0.03)
        assert isinstance(session.act(RIGHT, change), Held)
        assert kinds(session) == [("time backwards", False)]
        assert isinstance(run(session, 1)[0], Sent)


@pytest.mark.parametrize(("number", "taken"), [(8, 100.18), (7, 100.19)])
def test_two_images_of_one_time_or_one_number_are_held(number: int, taken: float) -> None:
    session = Session()
    run(session, 1)
    run(session, 1, change=image_with(number=7, time=100.18))
    (done,) = run(session, 1, change=image_with(number=number, time=taken))
    assert isinstance(done, Held) and kinds(session)[-1] == ("duplicate stamp", False)
    assert isinstance(run(session, 1)[0], Sent)


def test_a_state_that_does_not_change_is_stale() -> None:
    session = Session()
    run(session, 3)
    session.arm.lost = True
    made = run(session, 15)
    assert isinstance(made[0], Sent) and all(isinstance(done, Held) for done in made[1:])  # 0.1 s old is not too old
    assert kinds(session) == [("stale state", False), ("stale state", True)]


def test_a_wrong_time_does_not_make_the_right_ones_after_it_look_wrong() -> None:
    for time in (INF, 1e9):
        session = Session()
        run(session, 2)
        run(session, 1, change=lambda seen, time=time: replace(seen, state=replace(seen.state, time=time)))
        run(session, 1, change=image_with(time=time))
        assert all(isinstance(done, Sent) for done in run(session, 5))


def test_a_camera_that_shows_the_same_is_found_when_the_arm_has_moved() -> None:
    session = Session()
    image = np.full((480, 640, 3), 99, np.uint8)
    made = run(session, 20, action=NOTHING, change=image_with(image=image))
    assert all(isinstance(done, Sent) for done in made)  # nothing moves: so it should
    made = run(session, 8, change=image_with(image=image))
    assert isinstance(made[-1], Held) and kinds(session) == [("frozen image", False)]
    changed = image.copy()
    changed[-1, -1, -1] += 1
    assert isinstance(run(session, 1, change=image_with(image=changed))[0], Sent)


def test_a_slow_camera_is_not_a_frozen_one() -> None:
    """One image is looked at twice; and the next was taken before the arm was seen to move."""
    session = Session()
    for number, taken in ((1, 100.04), (2, 100.06), (2, 100.06)):
        session.pass_time(0.04)
        session.arm.push(np.array([0.03, 0, 0]), np.zeros(3))
        done = session.act(NOTHING, image_with(image=np.full((4, 4, 3), 99, np.uint8), time=taken, number=number))
        assert isinstance(done, Sent), done
    assert session.told == []


def test_the_noise_of_a_dark_camera_is_black() -> None:
    dark = np.random.default_rng(0).integers(0, 12, (480, 640, 3)).astype(np.uint8)
    dark[8, 8] = 255  # a hot pixel
    session = Session()
    assert isinstance(run(session, 1, change=image_with(image=dark))[0], Held)
    lit = dark.copy()
    lit[:100, :100] = 60
    assert isinstance(run(session, 1, change=image_with(image=lit))[0], Sent)
