"""A hand takes over in mid-episode and gives back: any device sequence within the limits, nothing where nobody asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.episode import Episode
from robot.hardware.action import action_of
from robot.hardware.pose import angle_between, distance_between
from robot.session import one_episode
from robot.teleop.device import NO_NUMBERS, OPEN, SHUT, Wish, heard
from robot.teleop.operator import Mark
from robot.teleop.policy import TeleopPolicy
from robot.teleop.takeover import BACK_S, Takeover
from tests.robot.table import Table

STILL = Wish(np.zeros(3), np.zeros(3), OPEN)
RIGHT = Wish(np.array([0.0, 1.0, 0.0]), np.zeros(3), OPEN)


@dataclass
class Hand:
    """A device that asks for what stands in `wishes`, one a reading, then for nothing."""

    wishes: Sequence[Wish]
    rests: int = 0
    read_: int = field(default=0)
    about = "a toy"

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def read(self) -> Wish:
        self.read_ += 1
        return self.wishes[self.read_ - 1] if self.read_ <= len(self.wishes) else STILL

    def rest(self) -> None:
        self.rests += 1
        self.read_ = 0

    def mark(self) -> Mark | None:
        return None


def played(wishes: Sequence[Wish] | None, steps: int = 30) -> tuple[Table, Episode, list[str]]:
    said: list[str] = []
    hand = None if wishes is None else Takeover(Hand(wishes), said.append)  # type: ignore[arg-type]
    table = Table(hand=hand, step_limit=steps)
    episode, _ = one_episode(table.env, 3)
    return table, episode, said


deflections = st.lists(
    st.sampled_from([-1.0, -0.3, 0.0, 0.05, 1.0, 1.4, 1e9, np.inf, np.nan]), min_size=3, max_size=3
).map(np.array)
wishes = st.builds(Wish, deflections, deflections, st.sampled_from([OPEN, SHUT]), st.sampled_from(["", "it is gone"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.just(STILL) | wishes, max_size=30))
def test_whatever_a_device_asks_for_nothing_jumps(asked: list[Wish]) -> None:
    table, episode, _ = played(asked)
    limits, commands = table.env.limits, [target for _, target in table.arm.sent]
    for before, after in pairwise(commands):
        assert distance_between(before.pose, after.pose) <= limits.step + 1e-9
        assert angle_between(before.pose, after.pose) <= limits.turn + 1e-6
        assert limits.narrowest <= after.width <= limits.widest
    led = np.zeros(30, bool) if episode.log.led is None else episode.log.led
    handed = np.flatnonzero(np.diff(led.astype(int))) + 1
    grips = [OPEN]
    for wish in [*asked, *[STILL] * 40]:
        grips.append(heard(wish, grips[-1]).grip)
    for t in handed:  # the gripper goes on as it was, unless the hand asked for another width at that very step
        if led[t] and grips[t + 1] == grips[t]:
            assert commands[t].width == pytest.approx(commands[t - 1].width)
    assert not episode.log.unsent(30).any()


def test_a_hand_leads_from_its_first_wish_until_it_has_asked_for_nothing_for_a_while() -> None:
    table, episode, said = played([STILL] * 4 + [RIGHT] * 3)
    led, back = episode.log.led, round(BACK_S * table.env.rate_hz)
    assert led is not None and np.flatnonzero(led).tolist() == list(range(4, 4 + 3 + back - 1))
    assert said == ["your hand leads", "the policy leads again"]
    moved = np.diff([target.pose.position[1] for _, target in table.arm.sent])
    assert (moved[3:6] > 0.001).all(), "to the right, as asked"
    assert table.base.resets == [3, 3], "its plan was of before the hand took over"
    assert episode.residual_actions is not None and episode.base_actions is not None
    made = table.env.compose(episode.base_actions[5], episode.residual_actions[5])
    np.testing.assert_allclose(
        made[:3], [0.1, 0.1, 0], atol=1e-6
    )  # 0.2 forward by base, 0.5 right by hand: what reaches


@pytest.mark.parametrize("broken", [replace(RIGHT, turn=np.full(3, np.nan)), replace(RIGHT, grip=np.nan)])
def test_a_device_that_tells_no_numbers_is_not_followed_and_that_is_said(broken: Wish) -> None:
    table, episode, said = played([STILL, RIGHT, broken, broken, RIGHT])
    assert NO_NUMBERS in said and "the device is heard again" in said and not episode.log.unsent(30).any()
    moved = np.diff([target.pose.position[1] for _, target in table.arm.sent])
    assert moved[1] <= 0 and moved[2] == 0 and moved[0] > 0 < moved[3], "it stays where it is while nothing is heard"
    assert all(np.isfinite(target.width) for _, target in table.arm.sent)
    shut = replace(STILL, grip=SHUT)
    policy = TeleopPolicy(Hand([shut, broken, shut]), said.append)  # type: ignore[arg-type]
    assert [policy.act(np.zeros(8))[7] for _ in range(3)] == [SHUT] * 3 and policy.idle == [False, True, True]
    held = played([STILL, replace(RIGHT, grip=SHUT), *[replace(broken, grip=np.nan)] * 12])[0]
    assert all(target.width == held.env.limits.narrowest for _, target in held.arm.sent[2:9]), "nothing is dropped"


def test_a_device_that_nobody_touches_changes_nothing() -> None:
    (bare, without, _), (table, with_one, said) = played(None), played([])
    for name, array in without.arrays.items():
        np.testing.assert_array_equal(with_one.arrays[name], array, err_msg=name)
    assert [str(one) for one in table.arm.sent] == [str(one) for one in bare.arm.sent]
    assert with_one.log.led is None and said == [] and table.base.resets == bare.base.resets == [3]


def test_the_gripper_is_as_commanded_until_the_hand_asks_for_another_width() -> None:
    shut = replace(RIGHT, grip=SHUT)
    table, *_ = played([STILL, RIGHT, RIGHT, shut, shut])
    widths = [target.width for _, target in table.arm.sent][:5]
    assert widths[:3] == pytest.approx([widths[0]] * 3) and widths[3] == pytest.approx(0.0)
    assert widths[0] == pytest.approx(0.04), "as the base policy asks"
    assert action_of(table.arm.sent[3][1], table.env.seen.state)[7] == pytest.approx(-1)


def test_a_device_in_trouble_is_told_of_and_hands_back(tmp_path: Any) -> None:
    gone = replace(STILL, trouble="the pad is unplugged")
    _, episode, said = played([RIGHT, *[gone] * 15])
    assert said == ["your hand leads", "the pad is unplugged", "the policy leads again", "the device is heard again"]
    assert episode.log.led is not None and episode.log.led.sum() == 10


def test_each_episode_begins_with_the_policy() -> None:
    device = Hand([RIGHT])
    table = Table(hand=Takeover(device), step_limit=5)  # type: ignore[arg-type]
    first, _ = one_episode(table.env, 3)
    device.wishes = []
    second, _ = one_episode(table.env, 4)
    assert first.log.led is not None and first.log.led.all()
    assert second.log.led is None and device.rests == 2
