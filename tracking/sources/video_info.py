"""What annotations and headers tell of a video."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_VIDEO_NUMBER = 1e9  # of a video's seconds, rate, width and height


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video; None is unknown."""

    seconds: float | None = None  # when its last image ends, as a player counts seconds
    rate_hz: float | None = None
    width: int | None = None  # as a player shows it, upright
    height: int | None = None

    @classmethod
    def of(cls, *values: object) -> VideoInfo:
        """As annotations tell it, in the order of the fields; what is no number above 0 is unknown."""
        return cls(*(v if isinstance(v, int | float) and 0 < v < LARGEST_VIDEO_NUMBER else None for v in values))  # type: ignore
