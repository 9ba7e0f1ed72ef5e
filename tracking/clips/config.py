"""What `mpr track` is asked for: every setting of a run, its default and what goes with what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mpr.core.config import Range, as_dict, check_ranges
from mpr.core.device import check_device
from mpr.core.errors import UserError
from mpr.core.processes import check_engine
from tracking.clips.trim import LONGEST_CLIP_S
from tracking.masks.protocols import THRESHOLD
from tracking.masks.registry import check_names
from tracking.trackers.registry import LUCAS_KANADE, TRACKERS

MASKS_BY_BOX = "box"
_MODES = {  # what to track, and the options that go with it
    "video": ("box", "box_frame", "start", "stop", "rate_hz", "overlay", "rerun"),
    "manifest": (
        "rate_hz",
        "masks",
        "words",
        "threshold",
        "mask_weights",
        "longest",
        "overlay",
        "rerun",
        "workers",
        "engine",
    ),
    "clips": ("batch",),
}
TRACK_FREE_KEYS = (
    "out",
    "device",
    "batch",
    "overlay",
    "rerun",
    "workers",
    "engine",
)  # may differ when a run is resumed


@dataclass(frozen=True)
class TrackConfig:
    """Track an object through a video (--video), those of a manifest's actions (--manifest), or clips again (--clips).

    In a video it is what a box holds.
    """

    out: Path = Path("runs/track")  # run folder
    video: Path | None = None  # a video file
    manifest: Path | None = None  # actions to track, from `mpr find`
    clips: Path | None = None  # a folder of clip folders, e.g. from `mpr synth`
    box: tuple[int, int, int, int] | None = None  # x0,y0,x1,y1 in pixels as players show them, around only the object
    box_frame: int = 0  # frame of the stretch on which the box was drawn
    start: float = 0.0  # seconds of the video, as a player counts them: from there on
    stop: float = math.inf  # seconds of the video: up to there, the frame at this second left out
    rate_hz: float = 0.0  # frames per second to re-time the video to; 0: its own
    tracker: str = LUCAS_KANADE  # point tracker: lucas_kanade, cotracker3_offline, cotracker3_online
    weights: Path | None = None  # CoTracker's .pth file; not given, it is looked for in weights/ and torch.hub's folder
    masks: str = MASKS_BY_BOX  # --manifest: box (each action brings one), or models such as owlv2+sam2+cutie
    words: tuple[str, ...] = ()  # --manifest: names of the object for those models, as "drawer, chopping board"
    threshold: float = THRESHOLD  # --manifest: score under which a detector's best box is no find
    mask_weights: Path = Path("weights")  # --manifest: folder of those models' weights
    device: str = "auto"  # of CoTracker and those models: auto, cpu, cuda
    batch: int = 1  # --clips: so many tracked at once; CoTracker follows those of one length together
    longest: float = LONGEST_CLIP_S  # --manifest: seconds; longer actions become several clips
    overlay: bool = True  # also draw masks and tracks over the video (--video, --manifest)
    rerun: bool = False  # also write a recording for the viewer rerun (--video, --manifest)
    workers: int = 1  # --manifest: processes that track actions
    engine: str = "local"  # --manifest: or ray, on the cluster that RAY_ADDRESS names, or one started here

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.video, self.manifest, self.clips)) != 1:
            raise UserError("mpr track: give one of --video FILE --box x0,y0,x1,y1, --manifest FILE and --clips DIR")
        if self.video is not None and self.box is None:
            raise UserError("mpr track --video: needs --box x0,y0,x1,y1, the object in source pixels")
        mode = next(mode for mode in _MODES if getattr(self, mode) is not None)
        for one in fields(self):
            of = [m for m, names in _MODES.items() if one.name in names]
            if of and mode not in of and getattr(self, one.name) != one.default:
                raise UserError(f"mpr track --{mode}: --{one.name} goes with --{' and --'.join(of)}")
        TRACKERS.check(self.tracker)
        check_masks(self.masks, self.words)
        check_device(self.device)
        check_engine(self.engine)
        check_ranges(self, {"threshold": Range(0, 1)})
        if self.rerun:
            check_rerun()
        if not self.longest >= 1:
            raise UserError(f"mpr track: --longest {self.longest:g} s: at least 1")
        for name in ("batch", "workers"):
            if getattr(self, name) < 1:
                raise UserError(f"mpr track: --{name} {getattr(self, name)}: at least 1")
        if not (self.start >= 0 and self.stop > self.start):
            raise UserError(f"mpr track: --start {self.start:g} --stop {self.stop:g} is no stretch of time")
        if not 0 <= self.rate_hz < math.inf:
            raise UserError(f"mpr track: --rate_hz {self.rate_hz:g} is no rate; 0 keeps the video's own")


def settings_of(config: TrackConfig) -> dict[str, Any]:
    """What a run folder keeps of a config: the words in one text, as folders made before they were a list hold them."""
    return as_dict(config) | {"words": ", ".join(f'"{word}"' if "," in word else word for word in config.words)}


def check_masks(name: str, words: Sequence[str]) -> None:
    """Raises UserError for a name that is none's, and for words that nobody would look for."""
    if name != MASKS_BY_BOX:
        check_names(name)
    elif words:
        raise UserError(
            f"--words {', '.join(words)}: --masks {MASKS_BY_BOX} looks for no words; give models, as owlv2+sam2+cutie"
        )


def check_rerun() -> None:
    """Raises UserError where the package is not installed."""
    if not find_spec("rerun"):
        raise UserError("recordings for rerun need the package rerun-sdk: pip install -e '.[viewer]'")
