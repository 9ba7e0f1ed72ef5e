"""What a player shows of a video: which of a file's streams, and each of its images upright, with square pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mpr.core.data.colour import ColourTags, colour_remarks, converted, to_rgb
from mpr.core.data.orientation import Orientation, rotation_matrix

COVER = Disposition.attached_pic | Disposition.timed_thumbnails
SQUARE = 0.01  # pixels whose sides differ by less are square: such ratios come of rounding a size
LONGEST_PIXEL = 16  # times as long as wide; beyond that the ratio is damage


def shown_stream(container: InputContainer) -> VideoStream | None:
    """The video stream a player shows: the first of those marked as default, else the first. None where there is none:
    a cover image is none, wherever it stands, and a single image is none beside a film."""
    films = _films(container)
    default = [stream for stream in films if Disposition.default & stream.disposition]
    return next(iter([*default, *films]), None)


def _films(container: InputContainer) -> list[VideoStream]:
    images = [stream for stream in container.streams.video if not COVER & stream.disposition]
    return [stream for stream in images if stream.frames != 1] or images  # 0: the file does not say


@dataclass(frozen=True)
class Display:
    """How the images of one stream are shown, as its first image tells; all of them have to be like it."""

    stored: tuple[int, int]  # width, height
    stretched: tuple[int, int]  # those with square pixels
    rotation: int  # degrees, of the display matrix
    orientation: Orientation
    remarks: tuple[str, ...]  # what a user is told of the images
    changed: str  # what they undergo beside a turn, in a few words; of most videos nothing
    tags: ColourTags

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, frame: av.VideoFrame, tags: ColourTags) -> Display:
        """Of a stream's first frame. Raises ValueError for a display matrix that turns by no right angle."""
        stored = frame.width, frame.height
        own = _colours(frame)
        tags.complete(frame)
        stretched = square_size(*stored, stream.sample_aspect_ratio)
        told, matrix = colour_remarks(frame), _matrix(frame)
        way = Orientation.of_matrix(matrix) if matrix else Orientation()
        if stretched != stored:
            told.append(f"its pixels are not square: {_size(stored)} pixels stretched to {_size(stretched)}")
        if frame.interlaced_frame:
            told.append("interlaced: the two fields of an image are of two moments")
        if (count := len(_films(container))) > 1:
            told.append(f"stream {stream.index} is taken, of {count} video streams")
        changed = [converted(frame), "mirrored" * way.mirrors, _size(stretched) * (stretched != stored)]
        changed.append("colours by the file's tags" * (own != _colours(frame)))
        changed.append(f"stream {stream.index}" * (stream != container.streams.video[0]))
        return cls(stored, stretched, frame.rotation, way, tuple(told), " ".join(filter(None, changed)), tags)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown."""
        return self.orientation.size(*self.stretched)

    def change(self, frame: av.VideoFrame) -> str:
        """In what a frame is unlike the first; empty if in nothing."""
        if (frame.width, frame.height) != self.stored:
            return f"images are {_size((frame.width, frame.height))} pixels, at its start {_size(self.stored)}"
        turned = frame.rotation not in (0, self.rotation)  # 0 where only keyframes tell; the whole matrix is dear
        return "images lie another way than at its start" if turned else ""

    def image(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """uint8 RGB [H, W, 3] as shown. Raises av.error.FFmpegError for colours unknown here."""
        self.tags.complete(frame)
        image = to_rgb(frame)
        if self.stretched != self.stored:
            image = cv2.resize(image, self.stretched, interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(self.orientation(image))  # type: ignore[arg-type]  # torch refuses views of flips


def square_size(width: int, height: int, ratio: Fraction | None) -> tuple[int, int]:
    """Width and height of an image once its pixels are square, given its pixels' width over height.

    The shorter side of a pixel grows, so that nothing is lost.
    """
    if ratio is None or abs(ratio - 1) < SQUARE or not 1 / LONGEST_PIXEL <= ratio <= LONGEST_PIXEL:
        return width, height
    return (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))


def _colours(frame: av.VideoFrame) -> tuple[int, ...]:
    return frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range


def _matrix(frame: av.VideoFrame) -> bytes | None:
    """The display matrix. Asked for, a frame and its memory stay until the garbage is collected: PyAV ties a knot."""
    try:
        beside: Any = frame.side_data
        return next((bytes(data) for data in beside if data.type == Type.DISPLAYMATRIX), None)
    except ValueError:  # beside it stands a kind that PyAV has no name for: it tells only the angle
        return rotation_matrix(frame.rotation) if frame.rotation else None


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
