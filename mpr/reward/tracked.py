"""From a robot episode to a TrackedClip, with exact or Lucas–Kanade tracks: the hinge between robot and predictor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from mpr.episode import Episode
from tracking.clip import Source, TrackedClip
from tracking.errors import UserError
from tracking.from_recording import clip_through, recorded_clip
from tracking.lucas_kanade import LucasKanade
from tracking.mujoco_render import SceneRenderer
from tracking.mujoco_scene import ExactTracker
from tracking.segments import track_segments

TRACKERS = ("exact", "lucas_kanade")


@contextmanager
def track_episode(
    episode: Episode, tracker: str = "exact", part: bool = False, renderer: SceneRenderer | None = None
) -> Iterator[TrackedClip]:
    """The episode's recording as a clip; frames and masks are rendered when read, while the context is open.

    `renderer`, turned to the recording already, saves the time that opening one takes.
    """
    if tracker not in TRACKERS:
        raise UserError(f"tracker '{tracker}': there is {', '.join(TRACKERS)}")
    if episode.recording is None:
        raise UserError("this episode has no scene recording: score its video with `mpr score --video FILE --box ...`")
    source = Source(
        dataset=f"episode of {episode.recording.scene}",
        uid="_".join(str(v) for v in episode.about.values()) or "episode",
        start_s=float(episode.times[0]),
        stop_s=float(episode.times[-1]),
        narration=str(episode.about.get("task", "")),
        licence="made here",
        masks="simulator" + (", moving part alone" if part else ""),
        tracker=ExactTracker.name,
        extra=dict(episode.about),
    )
    shown = nullcontext(clip_through(renderer, source, part)) if renderer else None
    with shown or recorded_clip(episode.recording, source, part) as clip:
        if tracker == "lucas_kanade":
            segments = track_segments(LucasKanade(), clip.frames, clip.masks)
            source = dataclasses.replace(source, tracker=LucasKanade.name)
            clip = dataclasses.replace(clip, segments=segments, source=source)
        yield clip
