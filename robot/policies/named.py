"""The base policy of a session, by name: the simulated arm's expert, one trained by `mpr bc`, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.checkpoint import refuse_unfinished
from rl.base_policy import BasePolicy, ZeroPolicy
from robot.action import HALF_WIDTH, NOTHING, SIZE
from robot.station import Station
from tracking.device import resolved_device
from tracking.errors import UserError

EXPERT, STAY = "expert", "stay"
STATE = 8  # numbers in the state that policies know


class StayPolicy(ZeroPolicy):
    """The arm stays, and the gripper as wide as it is: 0 would be half open."""

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        return np.array([*NOTHING[:7], observation[7] / HALF_WIDTH - 1], np.float32)


@contextmanager
def base_policy(name: str, at: Station, ahead: bool, ddim_steps: int = 10, device: str = "cpu") -> Iterator[BasePolicy]:
    """The policy named `expert` or `stay`, or of a run folder of `mpr bc`, which plans ahead of the control loop where
    that keeps to the wall clock. Raises UserError, and BadCheckpoint for one of another arm."""
    if name == STAY:
        yield StayPolicy(SIZE)
    elif name == EXPERT:
        if at.expert is None:
            raise UserError(f"--policy {EXPERT}: the simulated arm alone has one; give a run folder of `mpr bc`")
        yield at.expert
    else:
        with trained(Path(name), ahead, ddim_steps, device) as policy:
            there = {camera.features.name: (camera.features.height, camera.features.width) for camera in at.cameras}
            for camera, size in policy.cameras.items():
                if there.get(camera) != tuple(size):
                    raise UserError(f"{name} saw camera '{camera}' in {size} pixels; here there is {there}")
            yield policy


@contextmanager
def trained(run: Path, ahead: bool, ddim_steps: int, device: str) -> Iterator[BasePolicy]:
    if not run.is_dir():
        raise UserError(f"no policy '{run}'; there is {EXPERT}, {STAY}, and run folders of `mpr bc`")
    refuse_unfinished(run, "mpr bc")
    device = resolved_device(device)
    import torch

    torch.set_num_threads(1)  # the loop and the cameras want the other cores
    from rl.diffusion.checkpoint import load_actor, load_eyes, load_policy
    from rl.diffusion.schedule import Sampler
    from robot.policies.ahead import AheadActor

    sampler = Sampler("ddim", ddim_steps)
    if not ahead:
        yield load_actor(run, sampler, lambda step: {}, device, state=STATE, action=SIZE)
        return
    policy, about = load_policy(run, device, state=STATE, action=SIZE)
    with closing(AheadActor(policy, sampler, load_eyes(policy.shape, about, device))) as actor:
        yield actor
