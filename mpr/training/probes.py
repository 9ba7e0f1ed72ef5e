"""Held-out transitions, prepared as in training, with how their object points should move: what a predictor is asked.

Where a clip's scene was recorded that is the true motion, the camera held still. Elsewhere it is what compensation
makes of the tracks: on a body at rest it holds what compensation leaves of the camera (`scenery_moves`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mpr.core.data.clip import TrackedClip
from mpr.core.data.clip_folder import load_recording
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from mpr.predictor.inputs import Fill, compensated_targets, draw_points, known_places, progress_of, shares
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.baselines import ConstantVelocity
from tracking.motion.compensation import Compensation, object_motion
from tracking.motion.points import Transition, transitions
from tracking.motion.true_motion import TrueMotion

STILL_PX = 0.05  # pixels of 256: a point that truly moves less stands still; up to MOTION_THRESHOLD_PX it is neither
REST_SHARE = 0.1  # an object of which fewer points moved stood still
_NEAREST = 5  # background points looked at around an object point

Recordings = Sequence[SceneRecording | None]


@dataclass(frozen=True)
class Probe:
    """One held-out transition: K object points first among the budget's."""

    clip: int
    t: int
    before: int  # the frame seen as the one before t: t itself where there is none
    points: NDArray[np.float32]  # [budget, 2] crop pixels
    valid: NDArray[np.bool_]  # [budget]
    progress: float
    true: bool  # whether targets are the true motion; else compensated tracks
    target: NDArray[np.float32]  # [K, 2] how each point should move, pixels of 256; NaN where that is not known
    velocity: NDArray[np.float32]  # [K, 2] compensated deltas of the transition before; zeros where unknown
    at_rest: bool  # whether the object stood still in the two frames seen
    scenery_moves: NDArray[np.float32]  # [K] share of the nearest background points that move too; zeros where `true`

    @property
    def known(self) -> NDArray[np.bool_]:
        """Of which object points [K] it is known how they should move."""
        return np.isfinite(self.target[:, 0])

    @property
    def moving(self) -> NDArray[np.bool_]:
        """Which object points [K] should move by MOTION_THRESHOLD_PX pixels or more."""
        # Not where unknown: NaN is not above anything.
        return np.linalg.norm(self.target, axis=1) >= MOTION_THRESHOLD_PX

    @property
    def still(self) -> NDArray[np.bool_]:
        """Which object points [K] should stand still: below STILL_PX by true motion, MOTION_THRESHOLD_PX by tracks."""
        return np.linalg.norm(self.target, axis=1) < (STILL_PX if self.true else MOTION_THRESHOLD_PX)


def probes(
    clips: Sequence[TrackedClip],
    budget: int,
    compensate: Compensation = "mean",
    every: int = 1,
    fill: Fill = "repeat",
    recordings: Recordings = (),
) -> list[Probe]:
    """Every `every`-th transition that shows an object point and is no gap, prepared; the draw of points is fixed.

    `recordings`: one for each clip, None where the truth is not known; left out, it is known of none.
    """
    out: list[Probe] = []
    for i, clip in enumerate(clips):
        recording = recordings[i] if recordings else None
        truth = TrueMotion(clip, recording) if recording else None  # kept for one clip: models take memory
        for x in transitions(clip, every):
            if x.object.any():
                out.append(_probe(clip, i, x, budget, compensate, fill, truth))
    return out


def _probe(
    clip: TrackedClip,
    number: int,
    x: Transition,
    budget: int,
    compensate: Compensation,
    fill: Fill,
    truth: TrueMotion | None,
) -> Probe:
    rows, valid = draw_points(x.object, x.background, budget, np.random.default_rng((number, x.t)), fill)
    chosen = rows[: shares(int(x.object.sum()), int(x.background.sum()), budget)[0]]  # each object point once
    delta = compensated_targets(x, compensate) - x.before
    among_objects = np.searchsorted(np.flatnonzero(x.object), chosen)
    before = clip.before(x.t)
    if truth is None:
        target, at_rest = delta[x.object], before == x.t or _rested(Transition.of(clip, before), compensate)
    else:
        target, at_rest = _true(x, before, truth)
    return Probe(
        clip=number,
        t=x.t,
        before=before,
        points=known_places(x.before[rows]),
        valid=valid,
        progress=progress_of(clip, x.t),
        true=truth is not None,
        target=target[among_objects],
        velocity=ConstantVelocity(compensate)(clip, [x])[0][among_objects],
        at_rest=at_rest,
        scenery_moves=_scenery(x, delta, chosen) if truth is None else np.zeros(len(chosen), np.float32),
    )


def _rested(past: Transition, compensate: Compensation) -> bool:
    moved = np.linalg.norm(object_motion(past, compensate), axis=1) >= MOTION_THRESHOLD_PX
    return bool(len(moved)) and float(moved.mean()) < REST_SHARE


def _true(x: Transition, before: int, truth: TrueMotion) -> tuple[NDArray[np.float32], bool]:
    """True motion [M, 2] of all object points, and whether none of them moved since the frame before."""
    after, past = truth(x.before[x.object], x.t, x.t + 1, before)
    return after.astype(np.float32), not (np.linalg.norm(past, axis=1) >= MOTION_THRESHOLD_PX).any()


def _scenery(x: Transition, delta: NDArray, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    """Around each of some object points: share of background points with a compensated delta of MOTION_THRESHOLD_PX."""
    if not x.background.any():
        return np.zeros(len(chosen), np.float32)
    moves = np.linalg.norm(delta[x.background], axis=1) >= MOTION_THRESHOLD_PX
    near = KDTree(x.before[x.background]).query(x.before[chosen], k=min(_NEAREST, len(moves)), workers=1)[1]
    return moves[near].reshape(len(chosen), -1).mean(1, dtype=np.float32)


def known_scenes(
    clips: Sequence[TrackedClip], folders: Sequence[Path]
) -> tuple[list[SceneRecording | None], list[str]]:
    """Each clip's recording, None where its true motion is not known; and why not, of those that have a recording.

    Tried before training: what cannot be built should not be found out after it. Raises BadClip for a damaged one.
    """
    found: list[SceneRecording | None] = []
    reasons = []
    for clip, folder in zip(clips, folders, strict=True):
        recording = load_recording(folder)
        try:
            if recording is not None:
                TrueMotion(clip, recording)
        except (UserError, ImportError) as error:
            recording = None
            reasons.append(str(error))
        found.append(recording)
    return found, reasons
