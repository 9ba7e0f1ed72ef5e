"""A tracked clip as a recording for the viewer rerun (rerun.io): frames, mask, points and arrows on one time line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpr.core.data.clip import TrackedClip
from mpr.core.runs import atomic_path
from tracking.clips.overlay import BACKGROUND, COMPENSATED, OBJECT, RAW
from tracking.motion.compensation import Compensation, camera_motion
from tracking.motion.points import Transition


def save_recording(clip: TrackedClip, file: Path, compensate: Compensation = "mean") -> None:
    """Write `file` (.rrd), to be opened with `rerun FILE`. Lengths are pixels of the crop."""
    import rerun as rr  # type: ignore[import-not-found]

    recording = rr.RecordingStream(f"mpr {clip.source.uid}")
    with atomic_path(file) as temporary:
        recording.save(temporary)
        recording.log("clip", rr.AnnotationContext([(1, clip.source.narration or "object")]), static=True)
        for t in range(len(clip.times)):
            recording.set_time("frame", sequence=t)
            recording.set_time("time", duration=float(clip.times[t]))
            recording.log("clip/frame", rr.Image(clip.frames[t]).compress(jpeg_quality=90))
            recording.log("clip/mask", rr.SegmentationImage(clip.masks[t].astype(np.uint8)))
            if t == len(clip.times) - 1:
                break
            x = Transition.of(clip, t)
            camera = camera_motion(x, compensate)[x.object]
            before, delta = x.before[x.object], x.delta[x.object]
            recording.log("clip/background", rr.Points2D(x.before[x.background], colors=BACKGROUND, radii=0.5))
            recording.log("clip/object", rr.Points2D(before, colors=OBJECT, radii=1.0))
            recording.log("clip/motion/raw", rr.Arrows2D(origins=before, vectors=delta, colors=RAW))
            arrows = rr.Arrows2D(origins=before, vectors=delta - camera, colors=COMPENSATED)
            recording.log("clip/motion/compensated", arrows)
        recording.disconnect()
