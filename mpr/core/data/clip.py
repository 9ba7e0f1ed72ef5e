"""TrackedClip: what tracking hands to everything after it, for human video and robot video alike.

Pixels are (x right, y down) and the centre of the top-left pixel is (0, 0). Nothing here reads or writes files
(`store.py` does) or knows where masks and tracks came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.steps import gaps_of, progress_at, stretch_around
from mpr.core.errors import BadClip

REMARKS = "video_remarks"  # in a source's `extra`
CROP_SIZE = 256  # pixels a side, after down-sampling (paper, VII-A)


class FrameSource(Protocol):
    """Frames on demand; memory does not grow with length."""

    def __len__(self) -> int: ...

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        """Frame t, uint8 RGB [H, W, 3]."""
        ...


@dataclass(frozen=True)
class FrameWindow:
    """Frames start .. stop-1 of another source, as a source of its own."""

    frames: FrameSource
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        return self.frames[self.start + range(len(self))[t]]


class Picked:
    """Some frames or masks of another source, as a source of its own."""

    def __init__(self, source: Any, at: NDArray[np.intp]) -> None:
        self.source, self.at = source, at

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, t: int, /) -> Any:
        return self.source[int(self.at[t])]


class Recent:
    """A frame or mask source that keeps the last few items asked for, where making one is dear (rendering)."""

    def __init__(self, source: Any, size: int = 72) -> None:
        self._source = source
        self._get = lru_cache(size)(source.__getitem__)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, t: int, /) -> Any:
        return self._get(t)


class MaskSource(Protocol):
    """Object masks on demand: the object's visible pixels, hand and arm excluded."""

    def __len__(self) -> int: ...

    def __getitem__(self, t: int, /) -> NDArray[np.bool_]:
        """Mask t, bool [H, W]."""
        ...


@dataclass(frozen=True)
class Square:
    """A fixed square of the source video, given by its edges: pixel 0 of the source spans -0.5 .. 0.5."""

    left: float  # source pixels, left edge
    top: float  # source pixels, top edge
    size: float  # source pixels a side

    def to_crop(self, points: NDArray, crop_size: int = CROP_SIZE) -> NDArray:
        """Source pixels [..., 2] to crop pixels [..., 2]."""
        return (points - (self.left, self.top)) * (crop_size / self.size) - 0.5

    def to_source(self, points: NDArray, crop_size: int = CROP_SIZE) -> NDArray:
        """Crop pixels [..., 2] to source pixels [..., 2]."""
        return (points + 0.5) * (self.size / crop_size) + (self.left, self.top)


@dataclass(frozen=True)
class ClipSource:
    """Where a clip came from and how it was tracked; travels into the model card."""

    dataset: str  # "synth", "ego4d", "epic100", "file", ...
    uid: str
    start_s: float
    stop_s: float
    narration: str
    licence: str
    masks: str  # how masks were made, e.g. "simulator", "box + GrabCut"
    tracker: str  # how points were tracked, e.g. "exact, privileged", "lucas_kanade"
    group: str = ""  # what a split must keep together: source video, participant or appliance seed
    versions: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)  # JSON values only

    def __post_init__(self) -> None:
        texts = (self.dataset, self.uid, self.narration, self.licence, self.masks, self.tracker, self.group)
        if not all(isinstance(text, str) for text in texts):
            raise BadClip(f"source: of {texts} not all are texts")
        if not all(isinstance(s, int | float) and abs(s) < 1e9 for s in (self.start_s, self.stop_s)):
            raise BadClip(f"source: {str(self.start_s)[:20]} to {str(self.stop_s)[:20]} are no seconds of a video")
        if not (isinstance(self.versions, Mapping) and isinstance(self.extra, Mapping)):
            raise BadClip("source: versions and extra are objects")

    @property
    def remarks(self) -> list[str]:
        """What is to be said of the video's images and masks, if anything is: colours converted, a mask all over."""
        told = self.extra.get(REMARKS)
        return [str(remark) for remark in told] if isinstance(told, list) else []


@dataclass(frozen=True)
class TrackSegment:
    """Frames between two re-samplings of the point grid. Points correspond only inside a segment."""

    start: int  # frame index of its first frame
    points: NDArray[np.float32]  # [S, N, 2] pixels in the crop
    visible: NDArray[np.bool_]  # [S, N]

    def __post_init__(self) -> None:
        s, n = self.visible.shape
        if self.points.shape != (s, n, 2):
            raise BadClip(f"track segment at frame {self.start}: points {self.points.shape}, visible {(s, n)}")
        if not np.isfinite(self.points[self.visible]).all():
            raise BadClip(f"track segment at frame {self.start}: a visible point is NaN or infinite")

    @property
    def stop(self) -> int:
        """Index of the last frame (inclusive): the frame on which the next segment starts."""
        return self.start + len(self.points) - 1


class CameraMotion(Protocol):
    """How a clip's camera moved its tracked points, where it is known and not estimated."""

    def __call__(self, t: int, /) -> NDArray[np.float32]:
        """What the camera alone moved each point [N, 2] by over transition t, in pixels; 0 for a hidden one."""
        ...

    def of(self, clip: TrackedClip, /) -> CameraMotion:
        """The same camera's, of a clip of other frames or points of the same recording."""
        ...


@dataclass(frozen=True)
class TrackedClip:
    """One clip: lazy frames and masks [256, 256], point tracks in segments that tile its transitions."""

    frames: FrameSource  # [T] -> uint8 [256, 256, 3]
    masks: MaskSource  # [T] -> bool [256, 256]
    segments: tuple[TrackSegment, ...]
    times: NDArray[np.float64]  # [T] seconds, measured
    rate_hz: float  # what it was taken or re-timed at: 1 / rate_hz is its usual step
    crop: Square  # one fixed square per clip, in source pixels
    source: ClipSource
    camera: CameraMotion | None = None  # None: how it moved is not known

    def __post_init__(self) -> None:
        t = len(self.times)
        name = self.source.uid
        if t < 2:
            raise BadClip(f"clip {name}: {t} frame(s), a transition needs 2")
        if len(self.frames) != t or len(self.masks) != t:
            raise BadClip(f"clip {name}: {len(self.frames)} frames, {len(self.masks)} masks, {t} times")
        if not (np.diff(self.times) > 0).all():
            raise BadClip(f"clip {name}: times do not increase")
        at = 0
        for segment in self.segments:
            if segment.start != at or segment.stop <= at:
                raise BadClip(f"clip {name}: a segment starts at {segment.start}, the last one ended at {at}")
            at = segment.stop
        if at != t - 1:
            raise BadClip(f"clip {name}: segments end at frame {at}, the clip at {t - 1}")

    def segment_of(self, t: int) -> TrackSegment:
        """The one segment that holds transition t -> t+1."""
        for segment in self.segments:
            if segment.start <= t < segment.stop:
                return segment
        raise IndexError(f"transition {t} of {len(self.times) - 1}")

    @cached_property
    def gaps(self) -> NDArray[np.bool_]:
        """[T-1] Which steps are gaps (`mpr.core.data.steps`): they give no sample and enter no figure."""
        return gaps_of(self.times, self.rate_hz)

    @cached_property
    def progress(self) -> NDArray[np.float64]:
        """[T] True time since the first frame over the whole time."""
        return progress_at(self.times)

    def stretch(self, t: int) -> tuple[int, int]:
        """First and last frame (inclusive) of the stretch between gaps that frame t lies in."""
        return stretch_around(self.gaps, t)

    def before(self, t: int) -> int:
        """The frame that is seen as the one before t: t itself at the start, and after a gap."""
        return max(t - 1, self.stretch(t)[0])


@dataclass(frozen=True)
class Tracks:
    """What a tracker returns for one stretch of video: points [T, N, 2] pixels, visible [T, N]."""

    points: NDArray[np.float32]
    visible: NDArray[np.bool_]

    @classmethod
    def of(cls, found: Iterable[PointsSeen]) -> Self:
        """The tracks of which the frames were `found` one after another, one at least."""
        points, visible = zip(*found, strict=True)
        return cls(np.stack(points), np.stack(visible))


PointsSeen = tuple[NDArray[np.float32], NDArray[np.bool_]]  # of one frame: points [N, 2] pixels, visible [N]


class PointTracker(Protocol):
    """Follows query points through a stretch of video.

    It may also have `context`, the frames that it wants to see at once, and `track_batch(clips, queries)`, which tracks
    clips of one length together (`segments.py` looks for both).
    """

    name: str  # as it stands in Source.tracker

    def track(self, frames: FrameSource, queries: NDArray[np.float32]) -> Tracks:
        """Follow queries [N, 3] = (t, x, y) in pixels of `frames`; returns tracks over all T frames.

        What is visible lies in the image (`segments.py` sees to it).
        """
        ...


@runtime_checkable
class FrameByFrameTracker(PointTracker, Protocol):
    """A tracker that needs no later frame to say where a point is: whoever has seen enough asks it no further."""

    def frame_by_frame(self, frames: FrameSource, queries: NDArray[np.float32]) -> Iterator[PointsSeen]:
        """What `track` returns, frame after frame; a frame is read when its turn comes."""
        ...
