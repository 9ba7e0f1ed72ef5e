"""Behaviour cloning: demonstrations in, a run folder with a trained diffusion policy out.

Killed at any moment, it resumes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel

from mpr.core.config import as_dict
from mpr.core.data.steps import spacing, spacing_summary
from mpr.core.device import resolved_device
from mpr.core.errors import UserError
from mpr.core.fit import Fit
from mpr.core.runs import RunFolder, refuse_full_disk, seed_everything
from mpr.predictor.registry import find_encoder
from mpr.training.loop import learning_rate
from rl.data.demonstrations import FrameSize, frame_sizes, load_demonstrations
from rl.policies.diffusion.checkpoint import load_diffusion_policy, restore_policy, save_policy_checkpoint
from rl.policies.diffusion.config import BC_FREE_KEYS, BcConfig
from rl.policies.diffusion.policy import DiffusionPolicy, PolicyShape
from rl.policies.diffusion.samples import PolicyBatch, PolicyWindows
from rl.policies.diffusion.schedule import Sampler, generator
from rl.policies.diffusion.views import CameraEncoder, cached_view, fingerprint


def steps_of(config: BcConfig, windows: PolicyWindows) -> int:
    """How many steps to train: what the epochs asked for take, else the size's own."""
    size = config.resolved_size
    return config.epochs * math.ceil(len(windows) / size.batch) if config.epochs else size.steps


def shape_of(config: BcConfig, windows: PolicyWindows, cameras: Mapping[str, FrameSize], features: int) -> PolicyShape:
    """The shape of the policy that fits the demonstrations and what is asked for.

    `features` is how many numbers the encoder makes of a camera's frame.
    """
    size, seen = config.resolved_size, {}
    if cameras:
        image = 0 if find_encoder(config.encoder).frozen else size.image
        seen = {"cameras": cameras, "encoder": config.encoder, "features": features, "image": image}
    return PolicyShape(
        state=windows.states.shape[1],
        action=windows.actions.shape[1],
        **seen,
        widths=size.widths,
        horizons=config.horizons,
        training_steps=config.training_steps,
    )


class PolicyTraining:
    """One run: demonstrations, policy, loop."""

    def __init__(self, config: BcConfig) -> None:
        self.config, self.device = config, resolved_device(config.device)
        demonstrations = load_demonstrations(config.demos, config.num_demos)
        views, cameras = {}, frame_sizes(demonstrations, config.cameras)
        self.spacing = spacing(*((d.times, d.gaps) for d in demonstrations))
        self.folder = RunFolder(config.out, "bc", as_dict(config), BC_FREE_KEYS)
        if config.cameras:
            camera_encoder = CameraEncoder(config.encoder, config.resolved_size.image, config.weights, self.device)
            name = config.encoder if find_encoder(config.encoder).frozen else f"{config.resolved_size.image}px"
            views = {
                c: cached_view(demonstrations, c, camera_encoder, config.out / "cache", name) for c in config.cameras
            }
        self.windows = PolicyWindows(demonstrations, config.horizons, config.seed, views, config.pad_after)
        self.steps = steps_of(config, self.windows)
        kind = find_encoder(config.encoder)
        features = views[config.cameras[0]].shape[1] if kind.frozen and views else kind.width
        self.shape = shape_of(config, self.windows, cameras, features)
        self.about: dict[str, Any] = {
            "demonstrations": len(demonstrations),
            "shown": demonstrations[0].task,
            "data": fingerprint(demonstrations),
            "images": {camera: fingerprint(demonstrations, camera=camera) for camera in config.cameras},
            "encoder_weights": str(config.weights),
        }

    def run(self) -> None:
        config = self.config
        seed_everything(config.seed)
        policy = DiffusionPolicy(self.shape)
        policy.state_scale.fit(self.windows.states)
        policy.action_scale.fit(self.windows.actions)
        self.policy = policy.to(self.device).train()
        self.optimizer = torch.optim.AdamW(
            policy.parameters(),
            lr=config.lr,
            betas=config.resolved_size.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.ema = EMAModel(policy.parameters(), use_ema_warmup=True, power=config.ema_power, foreach=True)
        fit = Fit("bc", "step", self.steps, config.checkpoint_every, config.out, self.folder)
        done = fit.resume(self._restore) or 0
        count = sum(p.numel() for p in policy.parameters())
        refuse_full_disk(config.out, 4 * 4 * count)  # weights, averages, AdamW's two moments, float32
        held = f"{self.about['demonstrations']} demonstrations, {len(self.windows)} windows"
        over = f" ({spacing_summary(self.spacing)}: windows pass over them)" if self.spacing["gaps"] else ""
        print(f"{config.size}: {count / 1e6:.3f} M parameters; {held}{over}")
        rows = self._rows(done)
        fit.loop(done, rows, self._save, self._summary, beside=lambda row: f"loss={row['loss']:.4f}")

    def _restore(self, checkpoint: Path) -> None:
        about = restore_policy(checkpoint, self.policy, self.ema, self.optimizer)
        older = {
            "images": about.get("pictures", self.about["images"])
        } | about  # said as "pictures" before, or not at all
        if any(older.get(name) != self.about[name] for name in ("data", "images")):
            raise UserError(
                f"{self.config.out} was trained on other demonstrations than {self.config.demos} now holds: "
                "choose another --out"
            )

    def _save(self, step: int) -> None:
        save_policy_checkpoint(self.config.out, step, self.policy, self.ema, self.optimizer, self.about)

    def _rows(self, done: int) -> Iterator[dict[str, float]]:
        """One optimisation step after another."""
        return ({"loss": self._step(step)} for step in range(done, self.steps))

    def _step(self, step: int) -> float:
        """One optimisation step. Batch and noise depend only on the seed and its number."""
        config = self.config
        rate = learning_rate(step, self.steps, config.lr, config.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self._moved(self.windows.batch(step, config.resolved_size.batch))
        loss = self.policy.loss(batch, generator(config.seed, 2, step))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.ema.step(self.policy.parameters())
        return loss.item()

    def _moved(self, batch: PolicyBatch) -> PolicyBatch:
        return {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}

    def _summary(self) -> dict[str, Any]:
        """How far sampled chunks lie from the demonstrated ones, in the actions' own units; it is also said."""
        policy, _ = load_diffusion_policy(self.config.out, self.device)
        rng = np.random.default_rng((self.config.seed, 3))
        some = rng.choice(len(self.windows), min(len(self.windows), 64), replace=False)
        batch = self._moved(self.windows.windows_at(some))
        sampler = Sampler("ddim", math.gcd(Sampler.steps, self.config.training_steps))
        chunk = policy.predict(batch, sampler, generator(self.config.seed, 4))
        error = (chunk - batch["action"]).abs().mean().item()
        print(f"mean distance of a sampled action to the demonstrated one: {error:.4f} action units")
        return {"steps": self.steps, "sampled_action_error": error, **self.about}
