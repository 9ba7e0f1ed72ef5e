"""What `mpr train` is asked for: every setting of a run, its default and its range."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from mpr.core.config import Range, check_ranges
from mpr.core.data.clip import CROP_SIZE
from mpr.core.device import check_device
from mpr.core.errors import UserError
from mpr.predictor.inputs import Fill
from mpr.predictor.registry import DINOV2, check_tokens, find_encoder
from mpr.predictor.sizes import PREDICTOR_SIZES, PredictorSize, resized
from tracking.motion.compensation import Compensation

LOSSES = SQUARED, RELATIVE = ("squared", "relative")


@dataclass(frozen=True)
class Augment:
    """How strongly training samples are changed; 0 turns a change off.

    The defaults are mild: on development kitchens a predictor that trains for minutes pointed the right way more often
    without the strong changes that are off here.
    """

    flip: float = 0.5  # probability of a left-right flip, frames and points
    affine: float = 0.0  # probability of a random rotation, scale and shift
    rotation: float = 12.0  # degrees, at most
    scale: float = 0.2  # scale lies in 1 - scale .. 1 + zoom
    zoom: float = 0.8  # a still camera's crop is tighter than a moving head's: objects come larger than in the clips
    focus: float = 0.5  # of the affine ones: the share that is enlarged around the object, until it fills the image
    shift: float = 0.08  # of the image's side, at most
    colour: float = 0.5  # probability of brightness, contrast, gain and saturation jitter
    grey: float = 0.0  # probability of greyscale
    noise: float = 0.0  # probability of pixel noise
    blur: float = 0.0  # probability of a slight blur
    occlude: float = 0.0  # probability of 1-3 random shapes before the scene
    shuffle_previous: float = 0.5  # probability that the previous frame is another one nearby
    progress_jitter: float = 0.5  # progress is moved by at most this much: a robot takes its time to reach the handle

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf or (name not in ("rotation",) and value > 1):
                raise ValueError(f"augment.{name} is {value}: it lies in 0 .. 1 (rotation: degrees, 0 or more)")


NONE = Augment(**dict.fromkeys(Augment.__dataclass_fields__, 0.0))


@dataclass(frozen=True)
class TrainConfig:
    """Train a motion predictor on tracked clips of the task done."""

    clips: Path = Path("clips")  # folder of clip folders, from `mpr synth` or `mpr track`
    out: Path = Path("runs/predictor")  # run folder
    size: str = "tiny"  # tiny, laptop or paper: model, points and schedule; the keys that follow change parts of it
    steps: int | None = None  # optimisation steps
    batch: int | None = None  # samples a step, over all ranks
    lr: float | None = None  # peak learning rate
    image: int | None = None  # pixels a side that the encoder sees
    points: int | None = None  # points per sample
    patch: int | None = None  # embedded encoder: pixels a side of a token
    encoder: str | None = None  # vit (embedded, trained along) or dinov2 (frozen; weights needed)
    encoder_weights: Path = DINOV2.weights  # a frozen encoder's: DINOv2's folder with config.json, model.safetensors
    point_bands: int | None = None  # Fourier bands of a point's embedding; 0: the paper's linear map
    local_tokens: bool | None = None  # add the visual tokens at each point to its embedding
    moving: float = 0.95  # share of samples in which the object stands out from the camera's residue (0: as they come)
    loss: str = RELATIVE  # relative (to each sample's own motion: slow and fast ones count alike) or squared (paper)
    foreground: float = 0.3  # weight of telling the object's pixels: teaches the embedded encoder to see (paper: 0)
    epochs: int = 0  # if above 0: passes over the data, instead of steps (the paper's count)
    seed: int = 0  # weights, order, augmentation and split
    rate_hz: float = 12.5  # clips are re-timed to this rate; 0: left at their own
    strides: int = 2  # clips are also shown at 1/2 .. 1/strides of the rate
    # camera motion taken out of clips; mean is the paper's, known the simulator's own camera (of `mpr synth`)
    compensate: Compensation = "affine"
    fill: Fill = "repeat"  # too few points: repeat them (paper) or pad them with a validity mask
    val_share: float = 0.1  # of the groups (videos, participants, appliances), held out
    augment: Augment = field(default_factory=Augment)  # what is done to training samples
    checkpoint_every: int = 250  # steps
    validate_every: int = 500  # steps
    threads: int = 1  # CPU threads; another number gives other last bits
    workers: int = 0  # loader processes
    device: str = "auto"  # auto, cpu, cuda
    bfloat16: bool = False  # autocast, for GPUs
    cache: Path | None = None  # where decoded clips lie (default: in the run folder)

    def __post_init__(self) -> None:
        if self.size not in PREDICTOR_SIZES:
            raise UserError(f"no size '{self.size}'; there is {', '.join(PREDICTOR_SIZES)}")
        if self.fill not in ("repeat", "pad"):
            raise UserError(f"--fill {self.fill}: it is repeat or pad")
        if self.loss not in LOSSES:
            raise UserError(f"no loss '{self.loss}'; there is {', '.join(LOSSES)}")
        if not 0 < self.val_share < 1:
            raise UserError(f"--val_share {self.val_share}: it lies between 0 and 1")
        if not 0 <= self.moving < 1:
            raise UserError(f"--moving {self.moving}: it lies in 0 .. 1, 1 excluded")
        check_ranges(self, {name: least for name, least in _RANGES.items() if getattr(self, name) is not None})
        size = self.resolved_size
        check_tokens(size.encoder)
        if size.encoder == "vit" and (size.patch % 2 or size.image % size.patch):
            raise UserError(f"--patch {size.patch}: it is even and divides --image {size.image}")
        check_device(self.device)

    @property
    def resolved_size(self) -> PredictorSize:
        keys = ("steps", "batch", "lr", "image", "points", "patch", "encoder", "point_bands", "local_tokens")
        return resized(PREDICTOR_SIZES[self.size], **{key: getattr(self, key) for key in keys})

    @property
    def weights(self) -> Path:
        """Of the encoder, where it has any: what was said, else its own place."""
        kind = find_encoder(self.resolved_size.encoder)
        return kind.weights if self.encoder_weights == DINOV2.weights else self.encoder_weights

    @property
    def cached_size(self) -> int:
        """Pixels a side of decoded frames: enlarging around an object needs the pixels that it enlarges."""
        return CROP_SIZE if self.augment.affine else self.resolved_size.image


_RANGES: dict[str, Range] = {
    **dict.fromkeys(("steps", "batch", "image", "threads", "strides", "checkpoint_every", "validate_every"), Range(1)),
    **dict.fromkeys(("point_bands", "epochs", "seed", "rate_hz", "foreground", "workers"), Range(0)),
    "points": Range(3),  # two of the object and one of the background
    "patch": Range(2),
    "lr": Range(0, above=True),
}
TRAIN_FREE_KEYS = ("out", "cache", "workers", "checkpoint_every")  # may differ when a run is resumed
