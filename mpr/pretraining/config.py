"""What `mpr pretrain` is asked for: every setting of a run, its default and its range."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mpr.core.config import Range, check_ranges
from mpr.core.device import check_device
from mpr.core.errors import UserError
from mpr.predictor.registry import check_tokens, find_encoder
from mpr.predictor.sizes import PREDICTOR_SIZES, PredictorSize, resized

OBJECTIVES = {  # classes of mpr.pretraining.objective.Objective
    "vip": "mpr.pretraining.vip:Vip",
    "temporal_distance": "mpr.pretraining.temporal_distance:TemporalDistance",
}


@dataclass(frozen=True)
class VipSettings:
    """VIP's own numbers, as its authors released it."""

    gamma: float = 0.98  # discount a step
    negatives: int = 3  # permutations of a batch whose pairs of frames are put before another clip's goal; 0: none
    l1: float = 1e-3  # weight of the vectors' mean sum of magnitudes
    l2: float = 1e-3  # weight of their mean length

    def __post_init__(self) -> None:
        check_ranges(self, {"gamma": Range(0, 1), **dict.fromkeys(("negatives", "l1", "l2"), Range(0))}, "vip.")


@dataclass(frozen=True)
class PretrainConfig:
    """Train a picture encoder on clips of the task done, without labels, for the rewards that compare pictures."""

    objective: str = "vip"  # vip (distances to a goal frame) or temporal_distance (TimeRewarder's, of two frames)
    clips: Path = Path("clips")  # folder of clip folders, from `mpr synth` or `mpr track`: those of `mpr train`
    out: Path = Path("runs/representation")  # run folder
    size: str = "tiny"  # tiny or laptop: encoder and schedule of `mpr train`; the keys that follow change parts of it
    steps: int | None = None  # optimisation steps
    minutes: float = 0.0  # if above 0: core-minutes of training, instead of steps; how many these are is measured first
    batch: int | None = None  # clips a step: of each, four frames (vip) or two
    lr: float | None = None  # peak learning rate
    image: int | None = None  # pixels a side that the encoder sees
    patch: int | None = None  # pixels a side of a token
    encoder: str | None = None  # vit, or another one of the registry that is trained along
    width: int = 128  # numbers of a frame's vector
    vip: VipSettings = field(default_factory=VipSettings)  # of objective vip
    crop: float = 0.2  # a sample shows a random part of its frames, at least this share of their area; 1: all of them
    flip: float = 0.5  # probability that a sample's frames are mirrored
    colour: float = 0.5  # probability of brightness, contrast, gain and saturation jitter, one for a sample's frames
    seed: int = 0  # weights, frames, crops and split
    rate_hz: float = 12.5  # clips are re-timed to this rate; 0: left at their own
    val_share: float = 0.1  # of the groups (videos, participants, appliances), held out
    checkpoint_every: int = 100  # steps
    threads: int = 1  # CPU threads; another number gives other last bits
    device: str = "auto"  # auto, cpu, cuda
    cache: Path | None = None  # where decoded clips lie (default: in the run folder)

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UserError(f"no objective '{self.objective}'; there is {', '.join(OBJECTIVES)}")
        if self.size not in PREDICTOR_SIZES:
            raise UserError(f"no size '{self.size}'; there is {', '.join(PREDICTOR_SIZES)}")
        if not 0 < self.val_share < 1:
            raise UserError(f"--val_share {self.val_share}: it lies between 0 and 1")
        if self.minutes and self.steps is not None:
            raise UserError(f"--minutes {self.minutes:g} and --steps {self.steps}: give one of them")
        check_ranges(self, _RANGES)
        size = self.resolved_size
        check_tokens(size.encoder)
        if find_encoder(size.encoder).frozen:
            raise UserError(f"encoder '{size.encoder}' is frozen: nothing of it is trained here, take vit (--encoder)")
        if size.encoder == "vit" and (size.patch % 2 or size.image % size.patch):
            raise UserError(f"--patch {size.patch}: it is even and divides --image {size.image}")
        check_device(self.device)

    @property
    def resolved_size(self) -> PredictorSize:
        keys = ("steps", "batch", "lr", "image", "patch", "encoder")
        return resized(PREDICTOR_SIZES[self.size], **{key: getattr(self, key) for key in keys})


_RANGES: dict[str, Range] = {
    **dict.fromkeys(("steps", "image", "width", "threads", "checkpoint_every"), Range(1)),
    **dict.fromkeys(("minutes", "seed", "rate_hz"), Range(0)),
    **dict.fromkeys(("flip", "colour"), Range(0, 1)),
    "crop": Range(0, 1, above=True),
    **dict.fromkeys(("batch", "patch"), Range(2)),
    "lr": Range(0, above=True),
}
PRETRAIN_FREE_KEYS = ("out", "cache", "checkpoint_every")  # may differ when a run is resumed
