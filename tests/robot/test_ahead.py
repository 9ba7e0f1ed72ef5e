"""A policy that plans in a thread: which action is played when, however long a plan takes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import Horizons
from robot.hardware.action import NOTHING
from robot.policies.ahead import AheadActor

HORIZONS = Horizons()


class Numbered(torch.nn.Module):
    """Foretells, for each step, that step's number, counted from the state it was shown; waits to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shape = SimpleNamespace(horizons=HORIZONS, cameras={}, action=8, state=8)
        self.go = threading.Event()
        self.go.set()
        self.histories: list[list[float]] = []
        self.fails = False

    def predict(self, observation: dict[str, Any], sampler: Any, noise: Any) -> torch.Tensor:
        states = observation["state"][0, :, 0]
        self.histories.append(states.tolist())
        assert self.go.wait(60)
        if self.fails:
            raise RuntimeError("out of memory")
        first = states[-1] - (len(states) - 1)
        return (first + torch.arange(HORIZONS.prediction))[None, :, None].expand(1, -1, 8)


@pytest.fixture
def actor():
    made = AheadActor(Numbered(), Sampler("ddim", 2))  # type: ignore[arg-type]
    made.reset(0)
    yield made
    made.policy.go.set()
    made.close()


def played(actor: AheadActor, step: int, wait: bool = True) -> float:
    if wait and actor._plan is not None:
        actor._plan.exception()
    return float(actor.act(np.full(8, step, np.float32))[0])


def test_every_step_plays_its_own_action_whatever_the_plan_took(actor: AheadActor) -> None:
    assert [played(actor, step) for step in range(40)] == list(range(40)) and actor.starved == 1, "the first one stays"
    assert actor.policy.histories[:3] == [[0.0, 0.0], [7.0, 8.0], [15.0, 16.0]], "two observations, every eight steps"


def test_before_the_first_plan_the_gripper_stays_as_it_is(actor: AheadActor) -> None:
    stays = actor.act(np.array([0] * 7 + [0.07], np.float32))
    np.testing.assert_allclose(stays, [*NOTHING[:7], 0.75], atol=1e-6)


def test_while_a_plan_is_made_the_last_one_plays_and_then_the_arm_stays(actor: AheadActor) -> None:
    assert [played(actor, step) for step in range(8)] == list(range(8))
    actor.policy.go.clear()
    assert [played(actor, step, wait=False) for step in range(8, 15)] == list(range(8, 15)), "foretold at step 0"
    stays = actor.act(np.full(8, 15, np.float32))
    np.testing.assert_array_equal(stays[:7], NOTHING[:7])
    assert stays[7] == 14 and actor.starved == 2, "the gripper stays as it was told"
    actor.policy.go.set()
    assert played(actor, 16) == 16, "what is past of the new plan is skipped"


def test_a_reset_drops_a_plan_that_is_still_made(actor: AheadActor) -> None:
    for step in range(8):
        played(actor, step)
    actor.policy.go.clear()
    played(actor, 8, wait=False)
    actor.reset(1)
    actor.policy.go.set()
    np.testing.assert_array_equal(actor.act(np.full(8, 100, np.float32))[:7], NOTHING[:7])
    assert played(actor, 101) == 101 and actor.policy.histories[-1] == [100.0, 100.0] and actor.starved == 1


def test_what_the_thread_raises_is_raised_where_it_is_asked(actor: AheadActor) -> None:
    played(actor, 0)
    actor.policy.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        for step in range(1, 12):
            played(actor, step)
