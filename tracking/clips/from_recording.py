"""From a SceneRecording to a TrackedClip: crop, frames, masks, and tracks (exact or a tracker's) of what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mpr.core.data.clip import ClipSource, PointTracker, Recent, TrackedClip
from mpr.core.data.scene import SceneRecording
from tracking.motion.segments import track_segments
from tracking.simulator.mujoco_render import RenderedFrames, RenderedMasks, SceneRenderer
from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene


@contextmanager
def recorded_clip(
    recording: SceneRecording, source: ClipSource, part: bool = False, tracker: PointTracker | None = None
) -> Iterator[TrackedClip]:
    """A TrackedClip; frames and masks are rendered when read, while the context is open.

    tracker: None for exact tracks. `source.tracker` should say its name. Raises NoGL where nothing can be rendered.
    """
    scene = RecordedScene(recording)
    with SceneRenderer(scene, scene.crop()) as renderer:
        yield clip_through(renderer, source, part, tracker)


def clip_through(
    renderer: SceneRenderer, source: ClipSource, part: bool = False, tracker: PointTracker | None = None
) -> TrackedClip:
    """The clip that a renderer shows in its crop, good until it is turned to another recording or closed."""
    scene, crop = renderer.scene, renderer.crop
    frames, masks = Recent(RenderedFrames(renderer)), Recent(RenderedMasks(renderer, part))
    segments = track_segments(tracker or ExactTracker(scene, crop), frames, masks)
    return TrackedClip(frames, masks, segments, scene.recording.times, scene.recording.rate_hz, crop, source)
