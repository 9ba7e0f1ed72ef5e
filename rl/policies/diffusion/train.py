"""`mpr bc`: demonstrations in, a run folder with a trained diffusion policy out. Killed at any moment, it resumes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from tqdm import tqdm

from mpr.checkpoint import last_checkpoint
from mpr.training import learning_rate
from rl.demonstrations import FrameSize, demonstration_folders, frame_sizes, load_demonstrations
from rl.diffusion.checkpoint import load_policy, restore, save_checkpoint
from rl.diffusion.encoders import ENCODERS, FROZEN, TrainedResNet18, default_weights
from rl.diffusion.policy import DiffusionPolicy, PolicyShape
from rl.diffusion.samples import Batch, Horizons, Windows
from rl.diffusion.schedule import Sampler, generator
from rl.diffusion.views import Eyes, cached_view, fingerprint
from tracking.config import as_dict, parse, print_plan
from tracking.device import check_device, resolved_device
from tracking.errors import UserError
from tracking.runs import RunFolder, refuse_full_disk, seed_everything


@dataclass(frozen=True)
class Size:
    """A U-Net and the training that goes with it."""

    widths: tuple[int, ...]  # channels
    image: int  # pixels, short side, that an encoder trained along sees
    steps: int  # default optimisation steps
    batch: int  # default batch size
    betas: tuple[float, float]  # AdamW's


SIZES = {
    "tiny": Size((32, 64, 128), 96, 6000, 64, (0.95, 0.999)),  # states: minutes on one core, a chunk in 25 ms
    "small": Size((64, 128, 256), 96, 10_000, 64, (0.95, 0.999)),
    # The paper's 94.8 M parameters, batch and betas; of its 1000 epochs say --epochs 1000.
    "paper": Size((256, 512, 1024), 240, 30_000, 64, (0.9, 0.95)),
}


@dataclass(frozen=True)
class BcConfig:
    """Train a diffusion policy on demonstrations: the base policy."""

    demos: Path = Path("runs/demos")  # folder of demonstrations, from `mpr demos`
    count: int = 0  # learn from the first this many, by seed; 0: all
    out: Path = Path("runs/bc")  # run folder
    size: str = "small"  # tiny, small (a CPU) or paper (94.8 M parameters)
    cameras: tuple[str, ...] = ()  # cameras to see with, as [front, wrist]; none: the state alone
    encoder: str = "resnet18"  # resnet18 (trained along, one a camera); frozen, weights needed: r3m18/34/50, dinov2
    encoder_weights: Path | None = None  # R3M's model.pt or DINOv2's folder (default: in weights/)
    image: int | None = None  # resnet18: pixels on the short side that it sees
    steps: int | None = None  # optimisation steps
    epochs: int = 0  # if above 0: passes over the windows, instead of steps (the paper's count)
    batch: int | None = None  # windows a step
    lr: float = 1e-4  # peak learning rate; then cosine to zero
    warmup: int = 500  # steps of linear warm-up
    weight_decay: float = 1e-6  # AdamW's
    training_steps: int = 50  # of diffusion
    pad_after: int | None = None  # repeated actions a window may end with (default: action horizon - 1 = 7)
    ema_power: float = 0.75  # the weights' average forgets as 1 - (1 + step) ** -power
    seed: int = 0  # weights, order and noise
    checkpoint_every: int = 500  # steps
    threads: int = 1  # CPU threads; another number gives other last bits
    device: str = "auto"  # auto, cpu, cuda

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise UserError(f"no size '{self.size}'; there is {', '.join(SIZES)}")
        if self.encoder not in ENCODERS:
            raise UserError(f"no encoder '{self.encoder}'; there is {', '.join(ENCODERS)}")
        for name in ("count", "epochs", "warmup", "seed", "weight_decay"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} {getattr(self, name)}: it is 0 or more")
        for name in ("steps", "batch", "image", "training_steps", "checkpoint_every", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: it is 1 or more")
        check_device(self.device)
        if self.lr <= 0:
            raise UserError(f"--lr {self.lr}: it is above 0")
        most = self.horizons.prediction - self.horizons.observation
        if self.pad_after is not None and not 0 <= self.pad_after <= most:
            raise UserError(f"--pad_after {self.pad_after}: it lies in 0 .. {most}")

    @property
    def horizons(self) -> Horizons:
        return Horizons()

    @property
    def resolved_size(self) -> Size:
        changes = {key: getattr(self, key) for key in ("steps", "batch", "image")}
        return dataclasses.replace(SIZES[self.size], **{k: v for k, v in changes.items() if v is not None})

    @property
    def weights(self) -> Path:
        return self.encoder_weights or default_weights(self.encoder)


FREE = ("out", "checkpoint_every")  # may differ when a run is resumed


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(BcConfig, argv, prog="mpr bc")
    if dry_run:
        return _plan(config)
    torch.set_num_threads(config.threads)
    Training(config).run()


def _plan(config: BcConfig) -> None:
    size = config.resolved_size
    inputs, facts = {"demos": config.demos}, {"size": dataclasses.asdict(size)}
    if config.cameras and config.encoder in FROZEN:
        inputs["encoder_weights"] = config.weights
    if demonstration_folders(config.demos):
        demonstrations = load_demonstrations(config.demos, config.count)
        cameras = frame_sizes(demonstrations, config.cameras)
        windows = Windows(demonstrations, config.horizons, config.seed, pad_after=config.pad_after)
        facts |= {"demonstrations": len(demonstrations), "windows": len(windows), "steps": _steps(config, windows)}
        if not (config.cameras and config.encoder in FROZEN):  # a frozen one's features are counted once it is loaded
            with torch.device("meta"):
                policy = DiffusionPolicy(_shape(config, windows, cameras, TrainedResNet18.width))
            facts["parameters"] = sum(p.numel() for p in policy.parameters())
    print_plan(config, inputs, facts, config.out)


def _steps(config: BcConfig, windows: Windows) -> int:
    size = config.resolved_size
    return config.epochs * math.ceil(len(windows) / size.batch) if config.epochs else size.steps


def _shape(config: BcConfig, windows: Windows, cameras: Mapping[str, FrameSize], features: int) -> PolicyShape:
    size, seen = config.resolved_size, {}
    if cameras:
        image = 0 if config.encoder in FROZEN else size.image
        seen = {"cameras": cameras, "encoder": config.encoder, "features": features, "image": image}
    return PolicyShape(
        state=windows.states.shape[1],
        action=windows.actions.shape[1],
        **seen,
        widths=size.widths,
        horizons=config.horizons,
        training_steps=config.training_steps,
    )


class Training:
    """One run: demonstrations, policy, loop."""

    def __init__(self, config: BcConfig) -> None:
        self.config, self.device = config, resolved_device(config.device)
        demonstrations = load_demonstrations(config.demos, config.count)
        views, cameras = {}, frame_sizes(demonstrations, config.cameras)
        self.folder = RunFolder(config.out, "bc", as_dict(config), FREE)
        if config.cameras:
            eyes = Eyes(config.encoder, config.resolved_size.image, config.weights, self.device)
            name = config.encoder if config.encoder in FROZEN else f"{config.resolved_size.image}px"
            views = {c: cached_view(demonstrations, c, eyes, config.out / "cache", name) for c in config.cameras}
        self.windows = Windows(demonstrations, config.horizons, config.seed, views, config.pad_after)
        self.steps = _steps(config, self.windows)
        trained = config.encoder not in FROZEN
        features = TrainedResNet18.width if trained or not views else views[config.cameras[0]].shape[1]
        self.shape = _shape(config, self.windows, cameras, features)
        self.about: dict[str, Any] = {
            "demonstrations": len(demonstrations),
            "shown": demonstrations[0].shows,
            "data": fingerprint(demonstrations),
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
        done = self._resume()
        count = sum(p.numel() for p in policy.parameters())
        refuse_full_disk(config.out, 4 * 4 * count)  # weights, averages, AdamW's two moments, float32
        held = f"{self.about['demonstrations']} demonstrations, {len(self.windows)} windows"
        print(f"{config.size}: {count / 1e6:.3f} M parameters; {held}")
        if done:
            print(f"resuming after step {done} of {self.steps}")
        self._loop(done)
        self._finish()

    def _resume(self) -> int:
        found = last_checkpoint(self.config.out)
        done = 0
        if found is not None:
            about = restore(found, self.policy, self.ema, self.optimizer)
            if about["data"] != self.about["data"]:
                raise UserError(
                    f"{self.config.out} was trained on other demonstrations than {self.config.demos} now holds: "
                    "choose another --out"
                )
            done = int(found.name)
        self.folder.keep_metrics(lambda row: row["step"] <= done)
        return done

    def _loop(self, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        config = self.config
        board = SummaryWriter(str(config.out / "tensorboard"), purge_step=done + 1)
        with tqdm(total=self.steps, initial=done, unit="step", desc="bc") as bar:
            for step in range(done, self.steps):
                loss = self._step(step)
                self.folder.log(step=step + 1, loss=loss)
                board.add_scalar("loss", loss, step + 1)
                if (step + 1) % config.checkpoint_every == 0 or step + 1 == self.steps:
                    save_checkpoint(config.out, step + 1, self.policy, self.ema, self.optimizer, self.about)
                bar.update()
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        board.close()

    def _step(self, step: int) -> float:
        """One optimisation step. Batch and noise depend on the seed and its number alone."""
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

    def _moved(self, batch: Batch) -> Batch:
        return {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}

    def _finish(self) -> None:
        """Say how far sampled chunks lie from the demonstrated ones, in the actions' own units."""
        policy, _ = load_policy(self.config.out, self.device)
        rng = np.random.default_rng((self.config.seed, 3))
        some = rng.choice(len(self.windows), min(len(self.windows), 64), replace=False)
        batch = self._moved(self.windows.windows_at(some))
        sampler = Sampler("ddim", math.gcd(Sampler.steps, self.config.training_steps))
        chunk = policy.predict(batch, sampler, generator(self.config.seed, 4))
        error = (chunk - batch["action"]).abs().mean().item()
        print(f"mean distance of a sampled action to the demonstrated one: {error:.4f} action units")
        self.folder.finish({"steps": self.steps, "sampled_action_error": error, **self.about})
