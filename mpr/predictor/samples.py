"""From a transition of a clip to the points the predictor sees, in training and in scoring alike (paper VII-B, VII-C).

Points are drawn, compensated and normalised here. No frame is read, no augmentation is made (`augment.py`), nothing
is decoded (`clip_cache.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracking.clip import CROP_SIZE, Picked, TrackedClip, TrackSegment
from tracking.compensation import Compensation, camera_motion
from tracking.errors import UserError
from tracking.points import Transition
from tracking.store import clip_info

MOTION_FLOOR = 0.5  # pixels of 256: a transition in which no point moved this far is not trained on (paper VII-B)
RATE_TOLERANCE = 0.05  # a clip whose rate differs by less is taken as it is

Fill = Literal["repeat", "pad"]


def normalised(points: NDArray, size: int = CROP_SIZE) -> NDArray[np.float32]:
    """Pixels of the crop to 0..1: pixel / (size - 1)."""
    return (points / (size - 1)).astype(np.float32)


def progress_of(clip: TrackedClip, t: int) -> float:
    """t / T, T being the clip's transitions."""
    return t / (len(clip.times) - 1)


def compensated_targets(transition: Transition, compensate: Compensation = "mean") -> NDArray[np.float32]:
    """Where each point [N, 2] would be next had the camera stood still: object and background points alike, pixels."""
    return transition.after - camera_motion(transition, compensate)


def trainable(transition: Transition) -> bool:
    """Whether it shows an object point and any visible point moved: raw motion, so a camera's pan counts."""
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


def shares(n_object: int, n_background: int, budget: int) -> tuple[int, int]:
    """How many object and background points a sample holds: all, and half as many; at most 2/3 and 1/3 of it."""
    objects = min(n_object, 2 * budget // 3)
    return objects, min(n_background, (objects + 1) // 2, budget - objects)


def filled(rows: NDArray[np.intp], budget: int, fill: Fill) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Row numbers [budget] and their validity [budget]: the given rows first, then repeats of them, or padding."""
    if fill == "repeat":
        return np.resize(rows, budget), np.full(budget, len(rows) > 0)
    padded = np.zeros(budget, np.intp)
    padded[: len(rows)] = rows
    return padded, np.arange(budget) < len(rows)


def draw_points(
    of_object: NDArray[np.bool_],
    of_background: NDArray[np.bool_],
    budget: int,
    rng: np.random.Generator,
    fill: Fill = "repeat",
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Rows [budget] of one sample, object points first, and their validity [budget]."""
    objects, background = np.flatnonzero(of_object), np.flatnonzero(of_background)
    n, m = shares(len(objects), len(background), budget)
    rows = np.concatenate([rng.permutation(objects)[:n], rng.permutation(background)[:m]])
    return filled(rows, budget, fill)


@dataclass(frozen=True)
class Pass:
    """One run of the predictor over a transition. Its first rows are the object points `object_rows`, in that order."""

    points: NDArray[np.float32]  # [budget, 2] crop pixels
    valid: NDArray[np.bool_]  # [budget]
    object_rows: NDArray[np.intp]  # [K] which of the transition's object points (counted in index order)


def scoring_passes(transition: Transition, budget: int, rng: np.random.Generator, fill: Fill = "repeat") -> list[Pass]:
    """As many passes as it takes to score every object point exactly once, background included as in training."""
    objects, background = np.flatnonzero(transition.object), np.flatnonzero(transition.background)
    if not len(objects):
        return []
    count = -(-len(objects) // (2 * budget // 3))
    passes = []
    for chosen in np.array_split(rng.permutation(len(objects)), count):
        m = shares(len(chosen), len(background), budget)[1]
        rows, valid = filled(np.concatenate([objects[chosen], rng.permutation(background)[:m]]), budget, fill)
        passes.append(Pass(transition.before[rows].astype(np.float32), valid, chosen))
    return passes


def retimed(clip: TrackedClip, rate_hz: float) -> TrackedClip:
    """The clip at another rate, by its true stamps: for each tick the latest frame that was already there.

    Raises UserError where the clip is too slow for it, frames cannot be made up, or too short to hold two ticks.
    """
    measured = (len(clip.times) - 1) / (clip.times[-1] - clip.times[0])
    if abs(measured / rate_hz - 1) < RATE_TOLERANCE:
        return clip
    if measured < rate_hz:
        slow = f"clip {clip.source.uid} runs at {measured:.4g} Hz, slower than --rate_hz {rate_hz:.4g}"
        raise UserError(f"{slow}: give at most the clip's own")
    if lasts_less(clip, 1 / rate_hz):
        raise UserError(f"clip {clip.source.uid} is shorter than one step of --rate_hz {rate_hz:.4g}")
    ticks = np.arange(clip.times[0], clip.times[-1] + 1e-6, 1 / rate_hz)
    return picked(clip, np.searchsorted(clip.times, ticks + 1e-6, side="right") - 1, rate_hz)


def lasts_less(clip: TrackedClip, seconds: float) -> bool:
    return bool(clip.times[-1] - clip.times[0] < seconds - 1e-6)


def picked(clip: TrackedClip, at: Sequence[int] | NDArray[np.intp], rate_hz: float) -> TrackedClip:
    """Frames `at` (increasing) of a clip as a clip of its own. Frames of two segments get a bridge without points."""
    at = np.asarray(at)
    at = at[np.r_[True, np.diff(at) > 0]]
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
    return TrackedClip(frames, masks, tuple(segments), clip.times[at], rate_hz, clip.crop, clip.source)


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
