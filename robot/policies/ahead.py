"""A diffusion policy that plans in a thread while its last chunk plays: the control path never waits for it.

    step      s          s+1         s+2  ...   s+8
    plays     old chunk  old chunk   new[2]     new[8] ...
    thread    ├── plans new[0..14], from what was seen up to s ──┤

A plan is begun every eighth step; what of it is already past when it is there is skipped, so a chunk may begin
anywhere: the guard limits the jump. Where a chunk is played out and the next is not there, the arm stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rl.data.demonstrations import FrameSize
from rl.policies.base_policy import CameraFrames
from rl.policies.diffusion.policy import DiffusionPolicy
from rl.policies.diffusion.samples import CAMERA, PolicyBatch
from rl.policies.diffusion.schedule import Sampler, generator
from rl.policies.diffusion.views import CameraEncoder
from robot.hardware.action import HALF_WIDTH, NOTHING

Chunk = NDArray[np.float32]  # [K, 8]: actions of a step and those after it
Observed = tuple[NDArray[np.float32], Mapping[str, NDArray[np.uint8]]]  # state, camera -> frame


class AheadActor:
    """A BasePolicy of the arm. Close it, or its thread stays.

    `starved` counts steps without an action since the last reset. What the thread raised, `act` raises. What it plans
    depends on how fast it is: in simulated time use `rl.policies.diffusion.policy.DiffusionActor`.
    """

    def __init__(self, policy: DiffusionPolicy, sampler: Sampler, camera_encoder: CameraEncoder | None = None) -> None:
        self.policy, self.sampler, self.camera_encoder = policy.eval(), sampler, camera_encoder
        self.starved = 0
        self._thread = ThreadPoolExecutor(1, "plan")
        self._plan: Future[Chunk] | None = None
        self._history: deque[Observed] = deque(maxlen=policy.shape.horizons.observation)

    @property
    def cameras(self) -> Mapping[str, FrameSize]:
        return self.policy.shape.cameras

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        """Begin an episode; a plan still at work on the last one is dropped."""
        self._look, self._noise = look, generator(seed)
        self._history.clear()
        self._plan, self._chunk = None, np.zeros((0, 8), np.float32)
        self._step = self._begun = self._chunk_begun = self.starved = 0

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [8] of this step, for the state [8]. Until an episode's first plan is there, the arm stays."""
        frames = self._look(self._step) if self._look and self.cameras else {}
        now = np.asarray(observation, np.float32).copy(), frames
        if self._step == 0:
            self._grip = float(now[0][7]) / HALF_WIDTH - 1  # as it is
        self._history.extend([now] * (1 if self._history else self._history.maxlen or 1))
        if self._plan is not None and self._plan.done():
            self._chunk, self._chunk_begun, self._plan = self._plan.result(), self._begun, None
        if self._plan is None and (self._step == 0 or self._step - self._begun >= self.policy.shape.horizons.action):
            self._plan, self._begun = self._thread.submit(self._sample, list(self._history), self._noise), self._step
        at = self._step - self._chunk_begun
        self._step += 1
        if at >= len(self._chunk):
            self.starved += 1
            return np.array([*NOTHING[:7], self._grip], np.float32)
        self._grip = float(self._chunk[at, 7])
        return self._chunk[at]

    def wait(self) -> None:
        """Return when the plan that is being made, if any, is made: for states that come faster than an arm's do."""
        if self._plan is not None:
            self._plan.result()

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _sample(self, history: list[Observed], noise: torch.Generator) -> Chunk:
        """In the thread: from the present step on, all that was foretold."""
        device = next(self.policy.parameters()).device
        seen: PolicyBatch = {"state": torch.from_numpy(np.stack([state for state, _ in history]))[None].to(device)}
        for name in self.cameras:
            assert self.camera_encoder is not None
            frames = self.camera_encoder(np.stack([images[name] for _, images in history]))
            seen[CAMERA + name] = torch.from_numpy(frames)[None].to(device)
        chunk = self.policy.predict(seen, self.sampler, noise)[0].cpu().numpy()
        return chunk[len(history) - 1 :]
