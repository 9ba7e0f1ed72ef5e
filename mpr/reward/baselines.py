"""What every predictor has to beat: deltas that know no scene. Each is a DeltaModel (mpr/reward/scoring.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.core.data.scene import SceneRecording
from tracking.motion.compensation import Compensation, object_motion
from tracking.motion.points import Transition


class Oracle:
    """The tracked deltas themselves, the camera's motion taken out: agreement = share that moved (`any motion`)."""

    def __init__(self, compensate: Compensation = "none") -> None:
        self.compensate: Compensation = compensate

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        return [object_motion(x, self.compensate) for x in transitions]


class TrueDeltas:
    """The true motion of each point, of a clip whose scene was recorded: what a predictor without a fault foresees.

    Where no surface of the object is found at a point, rest. On exact tracks before a still camera it is paid what
    `Oracle` is; on others it says how much of that is left by the tracker. One clip's: it looks at no other.
    """

    def __init__(self, clip: TrackedClip, recording: SceneRecording) -> None:
        """Raises UserError as `TrueMotion` does."""
        from tracking.motion.true_motion import TrueMotion  # MuJoCo: the other baselines do without

        self.truth = TrueMotion(clip, recording)

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        found = [self.truth(x.before[x.object], x.t, x.t + 1)[0] for x in transitions]
        return [np.nan_to_num(deltas).astype(np.float32) for deltas in found]


class Rest:
    """Nothing moves: no agreement with anything."""

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        return [np.zeros((int(x.object.sum()), 2), np.float32) for x in transitions]


class RandomDirection:
    """One random direction a transition, the same for all its points; seeded by clip and transition."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        out = []
        for x in transitions:
            angle = np.random.default_rng((self.seed, x.t)).uniform(0, 2 * np.pi)
            out.append(np.tile(np.array([[np.cos(angle), np.sin(angle)]], np.float32), (int(x.object.sum()), 1)))
        return out


class ConstantVelocity:
    """Each point goes on as the nearest object point went over the transition before.

    It rests where none was near, at the start, and after a gap. Inside a segment that nearest point is itself. A new
    segment's points were not tracked before: without a neighbour's velocity this baseline would be at rest wherever a
    tracker re-samples often.
    """

    def __init__(self, compensate: Compensation = "none", near: float = 12.0) -> None:
        self.compensate: Compensation = compensate
        self.near = near  # pixels of 256: one and a half steps of the grid

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        return [self._deltas(clip, x) for x in transitions]

    def _deltas(self, clip: TrackedClip, x: Transition) -> NDArray[np.float32]:
        from scipy.spatial import KDTree  # the other baselines do without

        out = np.zeros((int(x.object.sum()), 2), np.float32)
        if clip.before(x.t) == x.t or not len(out):
            return out
        past = Transition.of(clip, x.t - 1)
        if past.object.any():
            distance, nearest = KDTree(past.after[past.object]).query(x.before[x.object], workers=1)
            close = np.asarray(distance) <= self.near
            out[close] = object_motion(past, self.compensate)[np.asarray(nearest)[close]]
        return out


class FixedDirection:
    """One 2-D vector for everything, e.g. the mean compensated object motion of the training clips."""

    def __init__(self, vector: NDArray) -> None:
        self.vector = np.asarray(vector, np.float32).reshape(1, 2)

    def __call__(self, clip: TrackedClip, transitions: Sequence[Transition]) -> list[NDArray[np.float32]]:
        return [np.repeat(self.vector, int(x.object.sum()), 0) for x in transitions]
