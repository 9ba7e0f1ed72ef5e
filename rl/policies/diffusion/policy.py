"""The diffusion policy: normalisers, camera encoders and denoiser as one module, and the actor that plays its chunks.

Chi et al., arXiv 2303.04137, with global conditioning: the last observations, as one vector, scale and shift every
block of the denoiser.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mpr.predictor.registry import find_encoder
from rl.data.demonstrations import FrameSize
from rl.policies.base_policy import CameraFrames
from rl.policies.diffusion.normalise import Normaliser
from rl.policies.diffusion.samples import CAMERA, PolicyBatch
from rl.policies.diffusion.schedule import Sampler, add_noise, denoise, generator
from rl.policies.diffusion.sizes import Horizons
from rl.policies.diffusion.unet import ConditionalUnet1d
from rl.policies.diffusion.views import CameraEncoder


@dataclass(frozen=True)
class PolicyShape:
    """Everything that decides the shape of a policy; travels with the weights."""

    state: int  # numbers in a state
    action: int  # numbers in an action
    cameras: Mapping[str, FrameSize] = field(default_factory=dict)  # camera -> its frames; in the condition's order
    encoder: str = ""  # of the cameras' frames
    features: int = 0  # numbers a frame becomes
    image: int = 0  # pixels, short side, of an encoder that is trained along
    widths: tuple[int, ...] = (256, 512, 1024)  # channels of the U-Net's resolutions
    step_embedding: int = 256
    horizons: Horizons = field(default_factory=Horizons)
    training_steps: int = 50  # of diffusion

    @property
    def condition(self) -> int:
        """Numbers in a condition."""
        return self.horizons.observation * (self.state + len(self.cameras) * self.features)


class DiffusionPolicy(nn.Module):
    """Observations in, chunks of actions out. `loss` trains it, `sample` asks it."""

    def __init__(self, shape: PolicyShape) -> None:
        super().__init__()
        self.shape = shape
        self.state_scale, self.action_scale = Normaliser(shape.state), Normaliser(shape.action)
        kind = find_encoder(shape.encoder) if shape.cameras else None
        trained = kind if kind and not kind.frozen else None  # one a camera; a frozen encoder's features arrive ready
        self.encoders = nn.ModuleList(trained.make_features() if trained else nn.Identity() for _ in shape.cameras)
        self.unet = ConditionalUnet1d(shape.action, shape.condition, shape.widths, shape.step_embedding)

    def condition(self, observation: PolicyBatch) -> Tensor:
        """The last observations, oldest first, as vectors [B, C]: features of every camera, normalised state.

        `observation`: "state" [B, 2, D] and, for each camera, what `CameraEncoder` made of its frames [B, 2, ...].
        """
        state = self.state_scale(observation["state"])  # [B, 2, D]
        seen = [
            encoder(observation[CAMERA + name].flatten(0, 1)).unflatten(0, state.shape[:2])  # [B, 2, F]
            for name, encoder in zip(self.shape.cameras, self.encoders, strict=True)
        ]
        return torch.cat([*seen, state], 2).flatten(1)

    def loss(self, batch: PolicyBatch, drawn_from: torch.Generator) -> Tensor:
        """Mean squared error of the foretold noise, at steps and with noise drawn from the (CPU) generator.

        The batch holds "state" [B, 2, D], "action" [B, 16, A] and a camera's frames [B, 2, ...].
        """
        clean = self.action_scale(batch["action"])  # [B, 16, A]
        noise = torch.randn(clean.shape, generator=drawn_from).to(clean.device)
        step = torch.randint(self.shape.training_steps, (len(clean),), generator=drawn_from).to(clean.device)
        noisy = add_noise(clean, noise, step, self.shape.training_steps)
        return F.mse_loss(self.unet(noisy, step, self.condition(batch)), noise)

    @torch.no_grad()
    def predict(self, observation: PolicyBatch, sampler: Sampler, drawn_from: torch.Generator) -> Tensor:
        """A sampled chunk [B, 16, A] in the environment's units, from the oldest observation's step on."""
        condition = self.condition(observation)
        shape = (len(condition), self.shape.horizons.prediction, self.shape.action)
        chunk = denoise(
            lambda noisy, step: self.unet(noisy, step, condition),
            shape, self.shape.training_steps, sampler, drawn_from, condition.device,
        )  # fmt: skip
        return self.action_scale.inverse(chunk)

    def sample(self, observation: PolicyBatch, sampler: Sampler, drawn_from: torch.Generator) -> Tensor:
        """The part of a sampled chunk that is run, [B, 8, A]: from the present observation's step on."""
        first = self.shape.horizons.observation - 1
        return self.predict(observation, sampler, drawn_from)[:, first : first + self.shape.horizons.action]


class DiffusionActor:
    """A BasePolicy: plays a policy's chunks, one action a step. One episode at a time.

    A policy with cameras needs `camera_encoder`, and `look`, which shows it the frames of the episode's step t (0 at
    reset); it is asked only on the steps that a chunk is planned from. An episode may have a `look` of its own, given
    to `reset`: a simulator's images here, a demonstration's there.
    """

    def __init__(
        self,
        policy: DiffusionPolicy,
        sampler: Sampler,
        camera_encoder: CameraEncoder | None = None,
        look: CameraFrames | None = None,
    ) -> None:
        if policy.shape.cameras and (camera_encoder is None or look is None):
            raise ValueError(f"a policy that sees {', '.join(policy.shape.cameras)} needs camera_encoder and look")
        self.policy, self.sampler, self.camera_encoder, self.look = policy.eval(), sampler, camera_encoder, look
        self._shown = look  # of the present episode
        self.device = next(policy.parameters()).device
        self._chunk: deque[NDArray[np.float32]] = deque()
        self._history: deque[PolicyBatch] = deque(maxlen=policy.shape.horizons.observation)
        self._noise: torch.Generator | None = None
        self._step = 0

    @property
    def cameras(self) -> Mapping[str, FrameSize]:
        return self.policy.shape.cameras

    def reset(self, seed: int, look: CameraFrames | None = None) -> None:
        """Begin an episode: drop the chunk and the history, and draw all noise from `seed` (0 or above)."""
        self._shown = self.look if look is None else look
        self._chunk.clear()
        self._history.clear()
        self._noise = generator(seed)
        self._step = 0

    def act(self, observation: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The action [A] for the state [D]; a new chunk is planned when the last one is used up."""
        if self._noise is None:
            raise RuntimeError("reset the actor before it acts")
        wanted = (self.policy.shape.state,)
        if observation.shape != wanted:
            raise ValueError(f"an observation of shape {observation.shape}, the policy takes {wanted}")
        if len(self._chunk) < self.policy.shape.horizons.observation:  # the next plan will look back on this step
            self._remember(observation)
        if not self._chunk:
            history = {name: torch.cat([seen[name] for seen in self._history], 1) for name in self._history[0]}
            self._chunk.extend(self.policy.sample(history, self.sampler, self._noise)[0].cpu().numpy())
        self._step += 1
        return self._chunk.popleft()

    def _remember(self, observation: NDArray[np.floating[Any]]) -> None:
        """Append this step's observation, [1, 1, ...] each; the first one of an episode fills the whole history."""
        state = np.asarray(observation, np.float32)
        now = {"state": torch.from_numpy(state.copy())[None, None].to(self.device)}
        if self.camera_encoder is not None and self._shown is not None:
            frames = self._shown(self._step)
            for name in self.cameras:
                now[CAMERA + name] = torch.from_numpy(self.camera_encoder(frames[name][None])).to(self.device)[None]
        missing = self._history.maxlen if not self._history else 1
        self._history.extend([now] * (missing or 1))
