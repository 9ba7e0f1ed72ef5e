"""Video sessions of the SAM family, kept small: one frame at a time, and no output that will not be looked at again.

The libraries' sessions hold a whole video and every frame's outputs, so their memory grows with a clip's length.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from mpr.core.data.clip import FrameSource
from tracking.masks.protocols import Frame


class OneFrame:
    """Stands for a whole video of which only the frame of the moment is ever asked for."""

    def __init__(self, length: int) -> None:
        self.frame: Any = None
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, t: int, /) -> Any:
        return self.frame


class MadeReady:
    """Stands for a whole video whose frames are read and made ready when asked for."""

    def __init__(self, frames: FrameSource, ready: Callable[[Frame], Any]) -> None:
        self._frames, self._ready = frames, ready

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, t: int, /) -> Any:
        return self._ready(self._frames[t])


def forget(outputs: dict[str, dict[int, dict[str, Any]]], now: int, reach: int) -> None:
    """Drop an object's outputs further back than `reach` frames, but for those of frames that it was given on."""
    given, followed = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
    for t in [t for t in followed if t <= now - reach]:
        del followed[t]
    for output in chain(given.values(), followed.values()):
        output.pop("high_res_masks", None)  # encoded on their own frame
