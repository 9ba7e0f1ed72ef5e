"""Which clips and transitions there are to learn from: trainable ones, at what rate, held out or not (paper VII-B).

What is made of a transition is `inputs.py`. No frame is read, no augmentation is made (`augment.py`), nothing is
decoded (`clip_cache.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import Picked, TrackedClip, TrackSegment
from mpr.core.data.clip_folder import clip_info
from mpr.core.data.retime import comes_at, retimed_frames, too_slow
from mpr.core.errors import UserError
from tracking.motion.compensation import Compensation, camera_motion
from tracking.motion.points import Transition

MOTION_FLOOR = 0.5  # pixels of 256: a transition in which no point moved this far is not trained on (paper VII-B)


def trainable(transition: Transition) -> bool:
    """Whether it is no gap, shows an object point and any visible point moved: raw motion, so a camera's pan counts."""
    if transition.gap:
        return False
    seen = transition.object | transition.background
    if not transition.object.any():
        return False
    return bool(np.linalg.norm(transition.delta[seen], axis=1).max() >= MOTION_FLOOR)


def stands_out(transition: Transition, compensate: Compensation = "mean", times: float = 2.0) -> bool:
    """Whether the object's compensated motion (root mean square) is `times` what is left of the background's."""
    delta = transition.delta - camera_motion(transition, compensate)
    left = np.sqrt(np.square(delta[transition.background]).sum(1).mean()) if transition.background.any() else 0.0
    moved = np.sqrt(np.square(delta[transition.object]).sum(1).mean()) if transition.object.any() else 0.0
    return bool(moved >= MOTION_FLOOR and moved >= times * left)


def retimed(clip: TrackedClip, rate_hz: float) -> TrackedClip:
    """The clip at another rate, as a video would be (`mpr.core.data.retime`): by true stamps, no frame twice.

    Raises UserError where the clip is too slow for it, frames cannot be made up, or too short to hold two ticks.
    """
    if comes_at(clip.times, rate_hz):
        return clip
    if too_slow(clip.rate_hz, clip.times, rate_hz):
        slow = f"clip {clip.source.uid} runs at {clip.rate_hz:.4g} Hz, slower than --rate_hz {rate_hz:.4g}"
        raise UserError(f"{slow}: give at most the clip's own")
    if lasts_less(clip, 1 / rate_hz):
        raise UserError(f"clip {clip.source.uid} is shorter than one step of --rate_hz {rate_hz:.4g}")
    return picked(clip, retimed_frames(clip.times, rate_hz), rate_hz)


def lasts_less(clip: TrackedClip, seconds: float) -> bool:
    """Whether a clip is shorter than so many seconds."""
    return bool(clip.times[-1] - clip.times[0] < seconds - 1e-6)


def picked(clip: TrackedClip, at: Sequence[int] | NDArray[np.intp], rate_hz: float) -> TrackedClip:
    """Frames `at` [T] (increasing) of a clip as a clip of its own.

    Frames of two segments get a bridge without points.
    """
    at = np.asarray(at)
    home = np.array([_segment_number(clip, int(a), int(b)) for a, b in pairwise(at)])
    starts = np.flatnonzero(np.r_[True, (home[1:] != home[:-1]) | (home[1:] < 0)])
    segments = []
    for start, stop in zip(starts, [*starts[1:], len(home)], strict=True):
        if home[start] < 0:
            segments.append(TrackSegment(int(start), np.zeros((2, 1, 2), np.float32), np.zeros((2, 1), bool)))
        else:
            segment = clip.segments[home[start]]
            k = at[start : stop + 1] - segment.start
            segments.append(TrackSegment(int(start), segment.points[k], segment.visible[k]))
    frames, masks = Picked(clip.frames, at), Picked(clip.masks, at)
    made = TrackedClip(frames, masks, tuple(segments), clip.times[at], rate_hz, clip.crop, clip.source)
    return made if clip.camera is None else replace(made, camera=clip.camera.of(made))


def _segment_number(clip: TrackedClip, a: int, b: int) -> int:
    """The segment that holds both frames; -1 where none does."""
    return next((k for k, s in enumerate(clip.segments) if s.start <= a and b <= s.stop), -1)


def strided(clip: TrackedClip, stride: int) -> list[TrackedClip]:
    """The clip at a `stride`-th of its rate, once for each phase that leaves a transition: stride augmentation."""
    if stride == 1:
        return [clip]
    n = len(clip.times)
    return [picked(clip, np.arange(p, n, stride), clip.rate_hz / stride) for p in range(stride) if p + stride < n]


def split_groups(clips: Sequence[TrackedClip], val_share: float, seed: int) -> tuple[list[int], list[int]]:
    """Clip numbers to train on and held out; clips of one group (video, participant, appliance) stay together."""
    groups = sorted({clip.source.group or clip.source.uid for clip in clips})
    if len(groups) < 2:
        raise UserError(f"{len(clips)} clip(s) of one group: held-out figures need clips of at least 2 groups")
    count = min(max(1, round(val_share * len(groups))), len(groups) - 1)
    held = {groups[i] for i in np.random.default_rng(seed).permutation(len(groups))[:count]}
    out = [i for i, clip in enumerate(clips) if (clip.source.group or clip.source.uid) in held]
    return [i for i in range(len(clips)) if i not in set(out)], out


def refuse_untrainable(folders: Sequence[Path]) -> None:
    """Raises UserError for clips that show something else than the task done (closing, missing): never trained on."""
    kinds = {folder.name: clip_info(folder)["source"].get("extra", {}).get("kind", "open") for folder in folders}
    bad = [f"{name} ({kind})" for name, kind in kinds.items() if kind != "open"]
    if bad:
        shown = ", ".join(bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
        raise UserError(f"training takes clips of the task done, not {shown}: give --clips a folder without them")
