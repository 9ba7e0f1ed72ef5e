"""From any episode to a TrackedClip, with any tracker: the hinge between robot and predictor.

What a simulator recorded is rendered, with the simulator's own masks, and exact tracks are to be had. Of what a camera
filmed somebody has to say where the task's object is: a box, of which masks are made without weights, or masks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from mpr.core.data.clip import ClipSource, FrameSource, MaskSource, PointTracker, TrackedClip
from mpr.core.data.crop import crop_of_clips
from mpr.core.data.episode import Episode
from mpr.core.data.scene import SceneRecording
from mpr.core.errors import UserError
from mpr.core.runs import versions
from mpr.reward.trackers import EXACT, REWARD_TRACKERS
from tracking.clips.from_recording import clip_through, recorded_clip
from tracking.clips.from_video import CARRIED, rate_like, track_masked
from tracking.masks.box_mask import CarriedMasks
from tracking.masks.checked import CheckedMasks
from tracking.masks.lost import HeldMasks
from tracking.simulator.mujoco_render import SceneRenderer
from tracking.simulator.mujoco_scene import ExactTracker
from tracking.trackers.registry import LUCAS_KANADE, make_tracker


@dataclass(frozen=True)
class FilmedObject:
    """Where the task's object is in a camera's frames: a box on one of them, or masks of all."""

    camera: str = ""  # "": the only one there is
    box: tuple[float, float, float, float] | None = None  # x0, y0, x1, y1 in pixels of its frames
    box_frame: int = 0
    masks: MaskSource | None = None  # T+1 masks, as large as its frames; then no box is needed
    like: Sequence[TrackedClip] = ()  # clips by the same camera: the square is theirs, one for all its episodes


@contextmanager
def track_episode(
    episode: Episode,
    tracker: str | PointTracker = "",
    part: bool = False,
    renderer: SceneRenderer | None = None,
    filmed: FilmedObject | None = None,
) -> Iterator[TrackedClip]:
    """The episode as a clip, good while the context is open: of its recording, or of what a camera `filmed`.

    `tracker` is a name of `REWARD_TRACKERS`, "" for exact tracks where there is a recording and Lucas-Kanade where
    there is none, or a tracker itself. `part`: only the moving part is the object (of a recording). `renderer`, turned
    to the recording already, saves the time that opening one takes. Raises UserError for exact tracks of what was
    filmed, and where nobody says which camera, or where the object is; NoGL and BadVideo.
    """
    if isinstance(tracker, str) and tracker:
        REWARD_TRACKERS.check(tracker)
    if episode.recording is not None and filmed is None:
        with _recorded(episode, episode.recording, tracker or EXACT, part, renderer) as clip:
            yield clip
    else:
        yield _filmed(episode, tracker or LUCAS_KANADE, filmed or FilmedObject())


@contextmanager
def _recorded(
    episode: Episode,
    recording: SceneRecording,
    tracker: str | PointTracker,
    part: bool,
    renderer: SceneRenderer | None,
) -> Iterator[TrackedClip]:
    found_by = None if tracker == EXACT else make_tracker(tracker) if isinstance(tracker, str) else tracker
    masks = "simulator" + (", moving part alone" if part else "")
    source = _source(episode, recording.scene, masks, found_by.name if found_by else ExactTracker.name)
    shown: AbstractContextManager[TrackedClip] | None = None
    if renderer is not None:
        shown = nullcontext(clip_through(renderer, source, part, found_by))
    with shown or recorded_clip(recording, source, part, found_by) as clip:
        yield dataclasses.replace(clip, times=episode.times, rate_hz=episode.asked_rate_hz)  # as measured


def _filmed(episode: Episode, tracker: str | PointTracker, there: FilmedObject) -> TrackedClip:
    if tracker == EXACT:
        others = ", ".join(name for name in REWARD_TRACKERS.names() if name != EXACT)
        raise UserError(f"tracker '{EXACT}' asks a simulator's recording, of which this makes no use: take {others}")
    camera, frames = _camera(episode, there.camera)
    height, width = frames[0].shape[:2]
    masks = _masks(episode, camera, frames, there)
    crop = crop_of_clips(there.like, (width, height)) if there.like else None
    tracker = make_tracker(tracker) if isinstance(tracker, str) else tracker
    where = {"camera": camera, "box": there.box and [float(v) for v in there.box], "box_frame": there.box_frame}
    made = "given" if there.masks is not None else CARRIED
    source = _source(episode, str(episode.about.get("arm", "a robot")), made, tracker.name, **where)
    rate_hz = episode.rate_hz or rate_like(there.like, episode.times)
    return track_masked(frames, masks, episode.times, rate_hz, tracker, source, crop)


def _camera(episode: Episode, asked: str) -> tuple[str, FrameSource]:
    """The camera's name and frames. Raises UserError where it is not there, or which of several is not said."""
    there = ", ".join(sorted(episode.frames))
    if not there and episode.recording is not None:
        raise UserError("this episode has no frames of a camera, but a recording: leave out --camera and --box")
    if not there:
        raise UserError("this episode has neither a scene recording nor frames of a camera: nothing shows what moved")
    if asked and asked not in episode.frames:
        raise UserError(f"--camera {asked}: this episode was seen by {there}")
    if not asked and len(episode.frames) > 1:
        raise UserError(f"this episode was seen by {there}: say by which it is tracked, --camera NAME")
    camera = asked or there
    return camera, episode.frames[camera]


def _masks(episode: Episode, camera: str, frames: FrameSource, there: FilmedObject) -> MaskSource:
    height, width = frames[0].shape[:2]
    if there.masks is not None:
        return CheckedMasks(there.masks, len(frames), (height, width), f"masks for camera {camera}")
    if there.box is None:
        raise UserError(
            f"nobody recorded where this episode's object is: give --box x0,y0,x1,y1 around it, in pixels of camera "
            f"{camera} ({width} x {height}), on frame --box_frame (0)"
        )
    carried = CarriedMasks(frames, there.box, there.box_frame)
    return HeldMasks(frames, carried, episode.times, there.box_frame)


def _source(episode: Episode, of: str, masks: str, tracker: str, **more: Any) -> ClipSource:
    named = episode.task, episode.about.get("kind"), episode.seed
    return ClipSource(
        dataset=f"episode of {of}",
        uid="_".join(str(value) for value in named if value not in (None, "")) or "episode",
        start_s=float(episode.times[0]),
        stop_s=float(episode.times[-1]),
        narration=episode.task,
        licence="made here",
        masks=masks,
        tracker=tracker,
        versions=versions() if more else {},
        extra={"task": episode.task, "seed": episode.seed, **episode.about, **more},
    )
