"""What a predictor is shown of a held-out transition: its own two frames, or others, by which it must lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.training.probes import Probe

Images = Literal["own", "reversed", "black", "exchanged"]
FrameKey = tuple[int, int]  # clip, frame
_BLACK: FrameKey = (-1, 0)


class ShownImages:
    """Pairs of frames for probes, named by keys: a frame that stands in several pairs is read and encoded once."""

    def __init__(self, clips: Sequence[TrackedClip], images: Images = "own", spare: Sequence[TrackedClip] = ()) -> None:
        self.images: Images = images
        self.clips = [*clips, *spare]
        self.others = exchanged(clips, spare) if images == "exchanged" else None

    def pair(self, probe: Probe) -> tuple[FrameKey, FrameKey]:
        """The frame before and the frame of a probe. The first frame of a clip stands before itself."""
        i, t = probe.clip, probe.t
        if self.images == "black":
            return _BLACK, _BLACK
        if self.images == "reversed":
            return (i, t + 1), (i, t)
        if self.others is None:
            return (i, probe.before), (i, t)
        other = self.others[i]  # as far through it as the probe is through its own clip
        scale = (len(self.clips[other].times) - 1) / (len(self.clips[i].times) - 1)
        return (other, round(probe.before * scale)), (other, round(t * scale))

    def frame(self, key: FrameKey) -> NDArray[np.uint8]:
        """The frame of a key, [H, W, 3] uint8 RGB; black for _BLACK."""
        return np.zeros_like(self.clips[0].frames[0]) if key == _BLACK else self.clips[key[0]].frames[key[1]]


def exchanged(clips: Sequence[TrackedClip], spare: Sequence[TrackedClip] = ()) -> list[int] | None:
    """For each clip the number, in clips and then spare ones, of the next clip of another group.

    A group is an appliance, a video or a person. None where one has no such clip.
    """
    groups = [clip.source.group or clip.source.uid for clip in [*clips, *spare]]
    found = []
    for i in range(len(clips)):
        order = [*range(i + 1, len(clips)), *range(i), *range(len(clips), len(groups))]
        other = next((j for j in order if groups[j] != groups[i]), None)
        if other is None:
            return None
        found.append(other)
    return found
