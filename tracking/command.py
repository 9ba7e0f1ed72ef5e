"""`mpr track`: an object through a video, from a box; or clips that exist, again with another tracker."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tracking.clip import PointTracker, Recent, TrackedClip
from tracking.compensation import mean_background
from tracking.config import as_dict, parse, print_plan
from tracking.errors import BadClip, UserError
from tracking.from_video import track_video
from tracking.lucas_kanade import LucasKanade
from tracking.overlay import save_overlay
from tracking.points import Transition
from tracking.runs import RunFolder
from tracking.segments import segments_of_clips
from tracking.store import clip_folders, load_clip, save_clip, save_tracks
from tracking.trackers import check_tracker, make_tracker, tracker_inputs
from tracking.video import VideoFrames

FREE = ("out", "device", "batch")  # may differ when a run is resumed


@dataclass(frozen=True)
class TrackConfig:
    """Track the object in a box through a video (--video), or track the clips of a folder again (--clips)."""

    out: Path = Path("runs/track")  # run folder
    video: Path | None = None  # a video file
    clips: Path | None = None  # a folder of clip folders, e.g. from `mpr synth`
    box: tuple[int, int, int, int] | None = None  # x0,y0,x1,y1 in source pixels, around the object alone
    box_frame: int = 0  # frame of the stretch on which the box was drawn
    start: float = 0.0  # seconds from the first frame: where the stretch starts
    stop: float = math.inf  # seconds from the first frame: where it stops
    rate_hz: float = 0.0  # frames per second to re-time the video to; 0: its own
    tracker: str = LucasKanade.name  # point tracker: lucas_kanade, cotracker3_offline, cotracker3_online
    weights: Path | None = None  # CoTracker's .pth file; not given, it is looked for in weights/ and torch.hub's folder
    device: str = "auto"  # of CoTracker: auto, cpu, cuda
    batch: int = 1  # clips tracked at once (--clips): CoTracker follows those of one length together
    overlay: bool = True  # also draw masks and tracks over the video (--video)

    def __post_init__(self) -> None:
        if (self.video is None) == (self.clips is None):
            raise UserError("mpr track: give either --video FILE --box x0,y0,x1,y1, or --clips DIR")
        if self.video is not None and self.box is None:
            raise UserError("mpr track --video: needs --box x0,y0,x1,y1, the object in source pixels")
        check_tracker(self.tracker)
        if self.batch < 1:
            raise UserError(f"mpr track: --batch {self.batch}: at least 1")
        if not (self.start >= 0 and self.stop > self.start):
            raise UserError(f"mpr track: --start {self.start:g} --stop {self.stop:g} is no stretch of time")
        if not 0 <= self.rate_hz < math.inf:
            raise UserError(f"mpr track: --rate_hz {self.rate_hz:g} is no rate; 0 keeps the video's own")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr track`. Raises UserError."""
    config, dry_run = parse(TrackConfig, argv, prog="mpr track")
    if dry_run:
        return _plan(config)
    tracker = make_tracker(config.tracker, config.weights, config.device)
    if config.video is not None:
        _track_file(config, tracker)
    else:
        _track_clips(config, tracker)


def _plan(config: TrackConfig) -> None:
    inputs = {"video": config.video} if config.video else {"clips": config.clips or Path()}
    inputs |= tracker_inputs(config.tracker, config.weights)
    facts: dict[str, object] = {}
    if config.video is not None and config.video.is_file():
        video = VideoFrames(config.video)
        h, w = video[0].shape[:2]
        facts["video"] = f"{len(video)} frames, {w} x {h} pixels, {video.rate_hz:.4g} Hz, {video.times[-1]:.2f} s"
    if config.clips is not None and config.clips.is_dir():
        facts["clips"] = len(clip_folders(config.clips))
    print_plan(config, inputs, facts, config.out)


def _track_file(config: TrackConfig, tracker: PointTracker) -> None:
    assert config.video is not None and config.box is not None
    settings = as_dict(config)
    folder = config.out / "clip"
    if config.out.exists():
        RunFolder(config.out, "track", settings, FREE)  # refuse another run's folder before the work
    if not (folder / "clip.json").exists():
        stretch = (config.start, config.stop, config.rate_hz)
        made = track_video(config.video, config.box, config.box_frame, *stretch, tracker)
        RunFolder(config.out, "track", settings, FREE)  # only now: a refused box leaves no run behind
        save_clip(made, folder)
    run = RunFolder(config.out, "track", settings, FREE)
    clip = load_clip(folder)
    if config.overlay and not (run.path / "overlay.png").exists():
        save_overlay(clip, run.path / "overlay.mp4", run.path / "overlay.png")
    if not run.finished:
        run.finish(summary(clip))
    print(f"{folder}: {_sentence(clip)}")


def _track_clips(config: TrackConfig, tracker: PointTracker) -> None:
    """Clips are independent: one that cannot be read or tracked is named and counted, and the others go on."""
    assert config.clips is not None
    folders = clip_folders(config.clips)
    run = RunFolder(config.out, "track", as_dict(config), free=(*FREE, "overlay"))
    left = [folder for folder in folders if not (run.path / folder.name / "clip.json").exists()]
    done, bad = len(folders) - len(left), 0
    with tqdm(desc="clips", unit="clip", total=len(folders), initial=done, disable=None) as bar:
        for i in range(0, len(left), config.batch):
            for folder, error in _track_again(tracker, left[i : i + config.batch], run.path):
                bar.update()
                if error is not None:
                    bad += 1
                    run.log(clip=folder.name, error=str(error))
                    tqdm.write(f"mpr track: left out: {error}", file=sys.stderr)
    if bad == len(folders):
        raise BadClip(f"none of the {bad} clips in {config.clips} could be tracked")
    run.finish({"clips": len(folders) - bad, "left_out": bad, "tracker": tracker.name})
    print(f"{run.path}: {len(folders) - bad} clips tracked by {tracker.name}, {bad} left out")


def _track_again(tracker: PointTracker, folders: Sequence[Path], out: Path) -> Iterator[tuple[Path, UserError | None]]:
    """Track clip folders together; where one of them fails, each alone. Yields each, and why it failed if it did."""
    try:
        clips = [load_clip(folder, verify=True) for folder in folders]
        segments = segments_of_clips(tracker, [(Recent(clip.frames), clip.masks) for clip in clips])
        for folder, found in zip(folders, segments, strict=True):
            save_tracks(folder, out / folder.name, found, tracker.name)
    except UserError as error:
        if len(folders) == 1:
            yield folders[0], error
        else:
            for folder in folders:
                yield from _track_again(tracker, [folder], out)
    else:
        yield from ((folder, None) for folder in folders)


def summary(clip: TrackedClip) -> dict[str, float | int]:
    """How much there is to learn from in a clip, and how far its object moves. Lengths in crop pixels per frame."""
    objects, backgrounds, raw, compensated = [], [], [], []
    for t in range(len(clip.times) - 1):
        transition = Transition(clip, t)
        objects.append(int(transition.object.sum()))
        backgrounds.append(int(transition.background.sum()))
        delta = transition.delta[transition.object]
        raw += list(np.linalg.norm(delta, axis=1))
        compensated += list(np.linalg.norm(delta - mean_background(transition), axis=1))
    return {
        "frames": len(clip.times),
        "seconds": float(clip.times[-1] - clip.times[0]),
        "segments": len(clip.segments),
        "object_points": float(np.mean(objects)),
        "background_points": float(np.mean(backgrounds)),
        "transitions_without_object_point": int(np.sum(np.array(objects) == 0)),
        "object_displacement_raw_px": float(np.mean(raw)) if raw else 0.0,
        "object_displacement_compensated_px": float(np.mean(compensated)) if raw else 0.0,
    }


def _sentence(clip: TrackedClip) -> str:
    s = summary(clip)
    return (
        f"{s['frames']} frames in {s['segments']} segments, {s['object_points']:.0f} object points a frame; they move "
        f"{s['object_displacement_raw_px']:.2f} px a frame, {s['object_displacement_compensated_px']:.2f} compensated"
    )
