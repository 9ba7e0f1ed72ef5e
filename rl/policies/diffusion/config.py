"""What `mpr bc` is asked for: every setting of a run, its default and its range."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import Range, check_ranges
from mpr.core.device import check_device
from mpr.core.errors import UserError
from mpr.predictor.registry import check_features, find_encoder
from rl.policies.diffusion.sizes import POLICY_SIZES, Horizons, PolicySize


@dataclass(frozen=True)
class BcConfig:
    """Train a diffusion policy on demonstrations: the base policy."""

    demos: Path = Path("runs/demos")  # folder of demonstrations, from `mpr demos`
    num_demos: int = 0  # learn from the first this many, by seed; 0: all
    out: Path = Path("runs/bc")  # run folder
    size: str = "small"  # tiny, small (a CPU) or paper (94.8 M parameters)
    cameras: tuple[str, ...] = ()  # cameras to see with, as front wrist; none: only the state
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
        if self.size not in POLICY_SIZES:
            raise UserError(f"no size '{self.size}'; there is {', '.join(POLICY_SIZES)}")
        check_features(self.encoder)
        check_ranges(self, {name: one for name, one in _RANGES.items() if getattr(self, name) is not None})
        check_device(self.device)
        most = self.horizons.prediction - self.horizons.observation
        if self.pad_after is not None and not 0 <= self.pad_after <= most:
            raise UserError(f"--pad_after {self.pad_after}: it lies in 0 .. {most}")

    @property
    def horizons(self) -> Horizons:
        return Horizons()

    @property
    def resolved_size(self) -> PolicySize:
        changes = {key: getattr(self, key) for key in ("steps", "batch", "image")}
        return dataclasses.replace(POLICY_SIZES[self.size], **{k: v for k, v in changes.items() if v is not None})

    @property
    def weights(self) -> Path:
        return self.encoder_weights or find_encoder(self.encoder).weights


_RANGES: dict[str, Range] = {
    **dict.fromkeys(("num_demos", "epochs", "warmup", "seed", "weight_decay", "ema_power"), Range(0)),
    **dict.fromkeys(("steps", "batch", "image", "training_steps", "checkpoint_every", "threads"), Range(1)),
    "lr": Range(0, above=True),
}
BC_FREE_KEYS = ("out", "checkpoint_every")  # may differ when a run is resumed
