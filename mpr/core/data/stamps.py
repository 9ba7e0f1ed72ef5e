"""Where the stamps of a stream stop being one line of time: pieces joined as they were, a clock that was set anew.

In the order of decoding, the stamps by which images are shown go back a little wherever images are reordered. Those
of decoding do not, but they are made up where a format has none (Matroska).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

REORDERED = 16  # images: the most that H.264 and HEVC hold back (their max_num_reorder)
FORWARD_S = 10  # a longer jump in a format whose stamps may jump starts anew (FFmpeg's dts_delta_threshold)


class FrameStamp(NamedTuple):
    """Of one packet, in units of the stream's time base."""

    pts: int
    dts: int | None
    keyframe: bool


def anew(stamps: Sequence[FrameStamp], forward: float = float("inf")) -> int | None:
    """The first packet whose stamps do not go on from those before it; None where all do.

    `stamps` are a stream's in order of decoding. They go back at a keyframe, before which all is shown that stands
    before it (where every packet is called one, which some writers do of any, the stamps of decoding have to go back
    too); or by more than images are reordered; or on by more than `forward`.
    """
    shown = sorted({stamp.pts for stamp in stamps})
    step = (shown[-1] - shown[0]) / max(len(shown) - 1, 1)
    believed = not all(stamp.keyframe for stamp in stamps)
    latest, decoded = stamps[0].pts, stamps[0].dts
    for k, (pts, dts, keyframe) in enumerate(stamps):
        undone = dts is not None and decoded is not None and dts < decoded
        far = latest - pts > REORDERED * step and (undone or dts is None)
        if (pts < latest and keyframe and (believed or undone)) or far or pts - latest > forward:
            return k
        latest = max(latest, pts)
        decoded = max((one for one in (dts, decoded) if one is not None), default=None)
    return None
