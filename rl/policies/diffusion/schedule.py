"""Noise in and noise out: diffusers' DDPM schedule for training, DDPM or few-step DDIM at run time, seeded.

All noise is drawn on the CPU from a generator that the caller seeds, so a GPU sees the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from mpr.core.errors import UserError

# With this schedule diffusers derives every beta from a cosine: beta_start and beta_end have no effect.
BETAS = "squaredcos_cap_v2"


@dataclass(frozen=True)
class Sampler:
    """How a chunk is denoised at run time; the weights are the same for all."""

    kind: str = "ddim"  # ddim: few steps, noise enters once; ddpm: every training step, noise at each
    steps: int = 10  # ddim only: network evaluations a chunk

    def __post_init__(self) -> None:
        if self.kind not in ("ddim", "ddpm"):
            raise UserError(f"no sampler '{self.kind}'; there is ddim and ddpm")
        if self.steps < 1:
            raise UserError(f"a sampler of {self.steps} steps: it takes 1 or more")


@lru_cache
def schedule(training_steps: int, sampler: Sampler) -> DDPMScheduler | DDIMScheduler:
    """diffusers' scheduler (epsilon prediction, clean chunks clipped to [-1, 1]), its time steps set."""
    common = {"num_train_timesteps": training_steps, "beta_schedule": BETAS, "clip_sample": True}
    if sampler.kind == "ddpm":
        ddpm = DDPMScheduler(**common, variance_type="fixed_small", prediction_type="epsilon")
        ddpm.set_timesteps(training_steps)
        return ddpm
    if training_steps % sampler.steps:  # diffusers' DDIM goes in whole strides
        raise UserError(f"{sampler.steps} DDIM steps do not divide the {training_steps} steps of the policy's training")
    # "trailing" starts at the last training step, where a chunk is pure noise, as the noise that it is given is;
    # diffusers' default starts earlier, where it never is.
    ddim = DDIMScheduler(**common, prediction_type="epsilon", timestep_spacing="trailing")
    ddim.set_timesteps(sampler.steps)
    return ddim


def generator(*key: int) -> torch.Generator:
    """A CPU generator that depends only on the key's whole numbers (0 or above)."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed))


def add_noise(clean: Tensor, noise: Tensor, step: Tensor, training_steps: int) -> Tensor:
    """Clean chunks [B, H, A] with noise [B, H, A] as strong as at diffusion steps [B]."""
    # diffusers' own add_noise would move the shared schedule to the chunks' device, and leave it there
    kept = schedule(training_steps, Sampler("ddpm")).alphas_cumprod.to(step.device)[step][:, None, None]
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def denoise(
    noise_in: Callable[[Tensor, Tensor], Tensor],
    shape: tuple[int, ...],
    training_steps: int,
    sampler: Sampler,
    drawn_from: torch.Generator,
    device: torch.device,
) -> Tensor:
    """A sample [B, H, A]: pure noise, denoised step by step by `noise_in(noisy [B, H, A], steps [B])`."""
    plan = schedule(training_steps, sampler)
    x = torch.randn(shape, generator=drawn_from).to(device)
    for step in plan.timesteps.tolist():
        noise = noise_in(x, torch.full((shape[0],), step, device=device))
        x = plan.step(noise, step, x, generator=drawn_from, return_dict=False)[0]
    return x
