"""The base policy of a session, by name: the simulated arm's expert, one trained by `mpr bc`, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.checkpoints import refuse_unfinished
from mpr.core.device import resolved_device
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from rl.policies.base_policy import BasePolicy, ZeroPolicy
from rl.policies.registry import BASE_POLICIES, Around, is_named, named_policy
from robot.hardware.action import ACTION_SIZE, HALF_WIDTH, NOTHING
from robot.setting import ASTRAY, EXPERT, STAY
from robot.station import Station

KNOWN_STATE_SIZE = 8  # numbers in the state that policies know


class StayPolicy(ZeroPolicy):
    """The arm stays, and the gripper as wide as it is: 0 would be half open."""

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [8] that stays where the arm is, its gripper as wide as the state [8] has it."""
        return np.array([*NOTHING[:7], observation[7] / HALF_WIDTH - 1], np.float32)


@contextmanager
def base_policy(name: str, at: Station, ahead: bool, ddim_steps: int = 10, device: str = "cpu") -> Iterator[BasePolicy]:
    """The policy named `expert`, `scripted_noisy` or `stay`, a registered one, or that of a run folder of `mpr bc`.

    The last plans ahead of the control loop where that keeps to the wall clock (`ahead`). Raises UserError, and
    BadCheckpoint for one of another arm.
    """
    if name == STAY:
        yield StayPolicy(ACTION_SIZE)
    elif name in (EXPERT, ASTRAY):
        if at.expert is None:
            raise UserError(f"policy '{name}': only the simulated arm has one; give a run folder of `mpr bc`")
        yield at.expert if name == EXPERT else astray(at.expert)
    elif is_named(name) and name not in BASE_POLICIES.ours:
        yield named_policy(name, Around(KNOWN_STATE_SIZE, ACTION_SIZE))
    else:
        with trained(Path(name), ahead, ddim_steps, device) as policy:
            there = {camera.features.name: (camera.features.height, camera.features.width) for camera in at.cameras}
            for camera, size in policy.cameras.items():
                if there.get(camera) != tuple(size):
                    raise UserError(f"{name} saw camera '{camera}' in {size} pixels; here there is {there}")
            yield policy


def astray(expert: BasePolicy) -> BasePolicy:
    """The same expert with a door measured wrong. Raises UserError for one of another package, which has none."""
    from robot.simulated.expert import DoorExpert

    if not isinstance(expert, DoorExpert):
        raise UserError(f"policy '{ASTRAY}': this task's expert opens no hinged door; give a run folder of `mpr bc`")
    return expert.astray()


@contextmanager
def trained(run: Path, ahead: bool, ddim_steps: int, device: str) -> Iterator[BasePolicy]:
    """The policy of a run folder of `mpr bc`, which plans in a thread if `ahead`.

    Raises UserError where there is no such folder, or it is not finished.
    """
    if not run.is_dir():
        there = [EXPERT, STAY, *(name for name in BASE_POLICIES.names() if name not in BASE_POLICIES.ours)]
        raise UserError(f"no policy '{run}'; there is {', '.join(there)}, and run folders of `mpr bc`")
    refuse_unfinished(run, "mpr bc")
    device = resolved_device(device)
    from rl.policies.diffusion.checkpoint import load_actor, load_camera_encoder, load_diffusion_policy
    from rl.policies.diffusion.schedule import Sampler
    from robot.policies.ahead import AheadActor

    sampler = Sampler("ddim", ddim_steps)
    with cpu_threads(1):  # the loop and the cameras want the other cores
        if not ahead:
            yield load_actor(run, sampler, lambda step: {}, device, state=KNOWN_STATE_SIZE, action=ACTION_SIZE)
            return
        policy, about = load_diffusion_policy(run, device, state=KNOWN_STATE_SIZE, action=ACTION_SIZE)
        with closing(AheadActor(policy, sampler, load_camera_encoder(policy.shape, about, device))) as actor:
            yield actor
