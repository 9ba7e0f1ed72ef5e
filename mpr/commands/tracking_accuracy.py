"""How right point trackers, and masks that need no weights, are: against the truth that a simulator knows.

Points: TAP-Vid's metrics, of a grid on the first frame followed to the last; and as the reward uses them, in segments,
one transition at a time. Of the latter two shares tell what a tracker does to the reward: an oracle that predicts the
true motion would be paid `paid` of what it is paid on exact tracks, and `invented` of the object points that rest are
tracked to move. Masks: from the true mask's box on the frame that shows most of the object.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import ClipSource, FrameWindow, MaskSource, PointTracker, Recent, TrackedClip
from mpr.core.data.clip_folder import load_clip, load_recording
from mpr.core.errors import UserError
from mpr.core.report.intervals import UNIT_RANGE, Bounds, Interval, mean, ratio
from mpr.reward.agreement import MOTION_THRESHOLD_PX, moved_share, point_agreement
from tracking.clips.from_recording import recorded_clip
from tracking.masks.box_mask import CarriedMasks
from tracking.motion.points import Transition, points_inside, transitions
from tracking.motion.segments import grid_points, track_segments
from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene
from tracking.trackers.tapvid import tapvid

REST = 0.05  # pixels of 256: a point that truly moves less rests
AccuracyRow = dict[str, float | int | str]
_SOURCE = ClipSource("bench", "bench", 0.0, 0.0, "", "made here", "simulator", ExactTracker.name)


def recorded(root: Path) -> list[Path]:
    """Folders right below `root` that hold a scene recording. Raises UserError where there is none."""
    found = sorted(file.parent for file in root.glob("*/recording.npz"))
    if not found:
        raise UserError(f"no recordings in {root}: make some with `mpr synth --out {root}` or `mpr episodes`")
    return found


@contextmanager
def open_recorded_clips(folder: Path) -> Iterator[tuple[TrackedClip, RecordedScene]]:
    """A synthetic clip's own video, or a kitchen episode rendered, with exact tracks; and the scene of it."""
    recording = load_recording(folder)
    assert recording is not None
    scene = RecordedScene(recording)
    if (folder / "clip.json").exists():
        clip = load_clip(folder)
        exact = ExactTracker(scene, clip.crop)
        frames, masks = Recent(clip.frames, len(clip.times)), Recent(clip.masks, len(clip.times))
        yield replace(clip, frames=frames, masks=masks, segments=track_segments(exact, frames, masks)), scene
    else:
        with recorded_clip(recording, _SOURCE) as clip:
            yield clip, scene


def measure_trackers(folder: Path, trackers: dict[str, PointTracker], masks: bool) -> Iterator[AccuracyRow]:
    """A row a tracker, and one of the masks. Raises UserError for a clip that cannot be read."""
    with open_recorded_clips(folder) as (clip, scene):
        for t in range(len(clip.times)):  # none pays for decoding or rendering
            _ = clip.frames[t], clip.masks[t]
        exact = ExactTracker(scene, clip.crop)
        for name, tracker in trackers.items():
            yield {"what": name, **followed(clip, tracker, exact), **paid(clip, tracker, exact)}
        if masks:
            yield {"what": "masks", **cut_out(clip)}


def followed(clip: TrackedClip, tracker: PointTracker, exact: PointTracker) -> AccuracyRow:
    """TAP-Vid's metrics of a grid on the first frame, of its points that show something; of only the object's, too."""
    grid = grid_points()
    queries = np.column_stack([np.zeros(len(grid)), grid]).astype(np.float32)
    truth = exact.track(clip.frames, queries)
    found = tracker.track(clip.frames, queries)
    row: AccuracyRow = {}
    for group, some in (("", truth.visible[0]), ("object_", truth.visible[0] & points_inside(clip.masks[0], grid))):
        picked = [replace(t, points=t.points[:, some], visible=t.visible[:, some]) for t in (found, truth)]
        figures = tapvid(picked[0], picked[1], np.zeros(int(some.sum())))
        row |= {f"{group}delta_avg": figures.delta_avg, f"{group}occlusion_accuracy": figures.occlusion_accuracy}
        row |= {f"{group}average_jaccard": figures.average_jaccard, f"{group}points": int(some.sum())}
    return row


def paid(clip: TrackedClip, tracker: PointTracker, exact: PointTracker) -> AccuracyRow:
    """What the reward would make of the tracker's segments; sums over transitions but gaps, for ratios over clips."""
    started = time.perf_counter()
    tracked = replace(clip, segments=track_segments(tracker, clip.frames, clip.masks))
    seconds = time.perf_counter() - started
    earned, share, errors, rests, invented = 0.0, 0.0, [], 0, 0
    for x, true in zip(transitions(tracked), transitions(clip), strict=True):
        earned_here, off, resting, moving = _transition(x, clip, exact)
        earned += earned_here
        errors.append(off)
        rests, invented = rests + resting, invented + moving
        share += moved_share(true.delta[true.object])
    error = np.concatenate(errors)
    return {
        "earned": earned,
        "share": share,
        "resting": rests,
        "invented": invented,
        "error_median_px": float(np.median(error)) if len(error) else float("nan"),
        "error_p90_px": float(np.quantile(error, 0.9)) if len(error) else float("nan"),
        "segments": len(tracked.segments),
        "frames": len(clip.times),
        "seconds": seconds,
    }


def _transition(x: Transition, clip: TrackedClip, exact: PointTracker) -> tuple[float, NDArray[np.float64], int, int]:
    """Agreement of the true with the tracked motion of the object's points, distances of the two, how many points
    rest, and how many of these are tracked to move."""
    at = x.before[x.object]
    queries = np.column_stack([np.zeros(len(at)), at]).astype(np.float32)
    truth = exact.track(FrameWindow(clip.frames, x.t, x.t + 2), queries)
    seen = truth.visible.all(0)
    delta, true = x.delta[x.object], (truth.points[1] - truth.points[0])
    true[~seen] = 0.0  # a point in front of or behind what the tracker took it for: no oracle is paid for it
    agreed = point_agreement(true, delta)
    resting = seen & (np.linalg.norm(true, axis=1) < REST)
    moving = resting & (np.linalg.norm(delta, axis=1) >= MOTION_THRESHOLD_PX)
    earned = float(agreed.mean()) if len(agreed) else 0.0
    off = np.linalg.norm(delta - true, axis=1)[seen].astype(np.float64)
    return earned, off, int(resting.sum()), int(moving.sum())


def cut_out(clip: TrackedClip) -> AccuracyRow:
    """Intersection over union of carried box masks and the true ones, over frames that show the object."""
    sizes = np.array([clip.masks[t].sum() for t in range(len(clip.times))])
    at = int(sizes.argmax())
    y, x = np.nonzero(clip.masks[at])
    started = time.perf_counter()
    try:
        found: MaskSource = CarriedMasks(clip.frames, (x.min(), y.min(), x.max(), y.max()), at)
    except UserError as error:
        return {"refused": str(error)}
    seconds = time.perf_counter() - started
    ious = np.array([iou(found[t], clip.masks[t]) for t in map(int, np.flatnonzero(sizes))])
    return {
        "iou": float(ious.mean()),
        "iou_at_box": iou(found[at], clip.masks[at]),
        "iou_worst": float(ious.min()),
        "frames": len(clip.times),
        "seconds": seconds,
    }


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, bool [H, W] each; NaN where both are empty."""
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else float("nan")


def accuracy_table(rows: Sequence[dict]) -> list[str]:
    """Markdown: a line a set and tracker, then a line a set's masks."""
    head = ["set", "tracker", "δ_avg", "occlusion accuracy", "average Jaccard", "object δ_avg", "object AJ"]
    head += ["error of a step, median px", "paid", "invented", "frames/s"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (name, what), some in grouped(rows).items():
        if what != "masks":
            lines.append("| " + " | ".join([Path(name).name, what, *cells(some)]) + " |")
    masks = {name: some for (name, what), some in grouped(rows).items() if what == "masks"}
    if masks:
        lines += ["", "| set | mask IoU | on the box's frame | refused | frames/s |", "|---|---|---|---|---|"]
    for name, some in masks.items():
        good = [row for row in some if "iou" in row]
        figures = [str(averaged(good, key, UNIT_RANGE)) for key in ("iou", "iou_at_box")]
        figures.append(f"{len(some) - len(good)} of {len(some)}")
        lines.append("| " + " | ".join([Path(name).name, *figures, speed(good)]) + " |")
    return lines


def grouped(rows: Sequence[dict]) -> dict[tuple[str, str], list[dict]]:
    """Rows of each set and thing measured, in order of first sight."""
    out: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        out.setdefault((row["set"], row["what"]), []).append(row)
    return out


def cells(rows: Sequence[dict]) -> list[str]:
    """The figures of one set and tracker as the table shows them, each with its interval over clips."""
    keys = ("delta_avg", "occlusion_accuracy", "average_jaccard", "object_delta_avg", "object_average_jaccard")
    sums = {key: np.array([row[key] for row in rows], float) for key in ("earned", "share", "invented", "resting")}
    return [
        *(str(averaged(rows, key, UNIT_RANGE)) for key in keys),
        str(averaged(rows, "error_median_px", (0.0, np.inf))),
        str(ratio(sums["earned"], sums["share"], (0.0, np.inf))),  # tracked motion over the true: it may exceed 1
        str(ratio(sums["invented"], sums["resting"], UNIT_RANGE)),
        speed(rows),
    ]


def averaged(rows: Sequence[dict], key: str, bounds: Bounds) -> Interval:
    """Mean over clips that have the figure."""
    values = np.array([row[key] for row in rows if key in row], float)
    return mean(values[np.isfinite(values)], bounds)


def speed(rows: Sequence[dict]) -> str:
    """Frames a second over all rows, as text; a dash where nothing was timed."""
    seconds = sum(row["seconds"] for row in rows)
    return f"{sum(row['frames'] for row in rows) / seconds:.0f}" if seconds else "–"
