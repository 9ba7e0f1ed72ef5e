"""`mpr track`: an object through a video, from a box; the actions of a manifest; or clips that exist, again with
another tracker."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tracking.again import track_clips
from tracking.clip import PointTracker
from tracking.config import Range, as_dict, check_ranges, parse, print_plan
from tracking.corpus.action_masks import BY_BOX, action_masks, check_masks
from tracking.corpus.actions import How, track_manifest
from tracking.corpus.review import Shown, write_review
from tracking.corpus.trim import LONGEST
from tracking.errors import BadVideo, UserError
from tracking.from_video import track_video
from tracking.lucas_kanade import LucasKanade
from tracking.masks.object_masks import THRESHOLD
from tracking.masks.registry import refuse_missing
from tracking.overlay import save_overlay
from tracking.processes import check_engine
from tracking.quality import measured
from tracking.rerun_recording import check_rerun, save_recording
from tracking.runs import RunFolder
from tracking.sources.manifest import Entry, read_manifest
from tracking.sources.videos import video_digest
from tracking.store import clip_folders, load_clip, save_clip, stands
from tracking.trackers import check_tracker, make_tracker, tracker_inputs
from tracking.video import VideoFrames

MODES = {  # what to track, and the options that go with it
    "video": ("box", "box_frame", "start", "stop", "rate_hz", "overlay", "rerun"),
    "manifest": (
        "rate_hz",
        "masks",
        "words",
        "threshold",
        "mask_weights",
        "longest",
        "overlay",
        "rerun",
        "workers",
        "engine",
    ),
    "clips": ("batch",),
}
FREE = ("out", "device", "batch", "overlay", "rerun", "workers", "engine")  # may differ when a run is resumed


@dataclass(frozen=True)
class TrackConfig:
    """Track the object in a box through a video (--video), those of a manifest's actions (--manifest), or track the
    clips of a folder again (--clips)."""

    out: Path = Path("runs/track")  # run folder
    video: Path | None = None  # a video file
    manifest: Path | None = None  # actions to track, from `mpr find`
    clips: Path | None = None  # a folder of clip folders, e.g. from `mpr synth`
    box: tuple[int, int, int, int] | None = None  # x0,y0,x1,y1 in source pixels, around the object alone
    box_frame: int = 0  # frame of the stretch on which the box was drawn
    start: float = 0.0  # seconds from the first frame: where the stretch starts
    stop: float = math.inf  # seconds from the first frame: where it stops
    rate_hz: float = 0.0  # frames per second to re-time the video to; 0: its own
    tracker: str = LucasKanade.name  # point tracker: lucas_kanade, cotracker3_offline, cotracker3_online
    weights: Path | None = None  # CoTracker's .pth file; not given, it is looked for in weights/ and torch.hub's folder
    masks: str = BY_BOX  # --manifest: box (each action brings one), or models such as owlv2+sam2+cutie
    words: str = ""  # --manifest: names of the object for those models, as "drawer, chopping board"; none: each noun
    threshold: float = THRESHOLD  # --manifest: score under which a detector's best box is no find
    mask_weights: Path = Path("weights")  # --manifest: folder of those models' weights
    device: str = "auto"  # of CoTracker and those models: auto, cpu, cuda
    batch: int = 1  # --clips: so many tracked at once; CoTracker follows those of one length together
    longest: float = LONGEST  # --manifest: seconds; longer actions become several clips
    overlay: bool = True  # also draw masks and tracks over the video (--video, --manifest)
    rerun: bool = False  # also write a recording for the viewer rerun (--video, --manifest)
    workers: int = 1  # --manifest: processes that track actions
    engine: str = "local"  # --manifest: or ray, on the cluster that RAY_ADDRESS names, or one started here

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.video, self.manifest, self.clips)) != 1:
            raise UserError("mpr track: give one of --video FILE --box x0,y0,x1,y1, --manifest FILE and --clips DIR")
        if self.video is not None and self.box is None:
            raise UserError("mpr track --video: needs --box x0,y0,x1,y1, the object in source pixels")
        mode = next(mode for mode in MODES if getattr(self, mode) is not None)
        for one in fields(self):
            of = [m for m, names in MODES.items() if one.name in names]
            if of and mode not in of and getattr(self, one.name) != one.default:
                raise UserError(f"mpr track --{mode}: --{one.name} goes with --{' and --'.join(of)}")
        check_tracker(self.tracker)
        check_masks(self.masks, self.object_words)
        if self.device != "auto":
            from tracking.device import check_device  # torch takes seconds

            check_device(self.device)
        check_engine(self.engine)
        check_ranges(self, {"threshold": Range(0, 1)})
        if self.rerun:
            check_rerun()
        if not self.longest >= 1:
            raise UserError(f"mpr track: --longest {self.longest:g} s: at least 1")
        for name in ("batch", "workers"):
            if getattr(self, name) < 1:
                raise UserError(f"mpr track: --{name} {getattr(self, name)}: at least 1")
        if not (self.start >= 0 and self.stop > self.start):
            raise UserError(f"mpr track: --start {self.start:g} --stop {self.stop:g} is no stretch of time")
        if not 0 <= self.rate_hz < math.inf:
            raise UserError(f"mpr track: --rate_hz {self.rate_hz:g} is no rate; 0 keeps the video's own")

    @property
    def object_words(self) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.words.split(",") if word.strip())


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr track`. Raises UserError."""
    config, dry_run = parse(TrackConfig, argv, prog="mpr track")
    if dry_run:
        _plan(config)
    elif config.video is not None:
        _track_file(config, config.video, _tracker(config))
    elif config.manifest is not None:
        _track_manifest(config, read_manifest(config.manifest))
    elif config.clips is not None:
        run = RunFolder(config.out, "track", as_dict(config), FREE)
        track_clips(clip_folders(config.clips), run, _tracker(config), config.batch)


def _tracker(config: TrackConfig) -> PointTracker:
    return make_tracker(config.tracker, config.weights, config.device)


def _plan(config: TrackConfig) -> None:
    inputs = {n: p for n in ("video", "manifest", "clips") if (p := getattr(config, n)) is not None}
    inputs |= tracker_inputs(config.tracker, config.weights)
    facts: dict[str, object] = {}
    if config.manifest is not None and config.manifest.is_file():
        entries = read_manifest(config.manifest)
        facts["actions"] = f"{len(entries)}, {sum(entry.seconds for entry in entries) / 60:.1f} minutes"
        facts["videos that are there"] = sum(Path(entry.video).is_file() for entry in entries)
    if config.video is not None and config.video.is_file():
        video = VideoFrames(config.video)
        h, w = video[0].shape[:2]
        facts["video"] = f"{len(video)} frames, {w} x {h} pixels, {video.rate_hz:.4g} Hz, {video.times[-1]:.2f} s"
    if config.clips is not None and config.clips.is_dir():
        facts["clips"] = len(clip_folders(config.clips))
    print_plan(config, inputs, facts, config.out)


def _track_file(config: TrackConfig, video: Path, tracker: PointTracker) -> None:
    assert config.box is not None
    if not video.is_file():
        raise BadVideo(f"video {video} does not exist")
    settings = as_dict(config) | {"video_digest": video_digest(video).hex()}  # another one under its name is refused
    folder = config.out / "clip"
    if config.out.exists():
        RunFolder(config.out, "track", settings, FREE)  # refuse another run's folder before the work
    if not stands(folder):
        stretch = (config.start, config.stop, config.rate_hz)
        made = track_video(video, config.box, config.box_frame, *stretch, tracker)
        RunFolder(config.out, "track", settings, FREE)  # only now: a refused box leaves no run behind
        save_clip(made, folder)
    run = RunFolder(config.out, "track", settings, FREE)
    clip = load_clip(folder)
    if config.overlay and not (run.path / "overlay.png").exists():
        save_overlay(clip, run.path / "overlay.mp4", run.path / "overlay.png")
    if config.rerun and not (run.path / "clip.rrd").exists():
        save_recording(clip, run.path / "clip.rrd")
    if not run.finished:
        figures = measured(clip, tracker)
        if config.overlay:
            write_review(run.path, [Shown(folder.name, video.name, "overlay.mp4", "overlay.png", figures)])
        run.finish(figures)
    print(f"{folder}: {sentence(json.loads((run.path / 'summary.json').read_text()))}")


def refuse_lacking(config: TrackConfig) -> None:
    """Raises NotReady for weights and devices that every action would lack: before there is a run of these settings."""
    tracker_inputs(config.tracker, config.weights)
    if config.masks != BY_BOX:
        refuse_missing(config.masks, config.mask_weights)
    if config.device != "auto":
        from tracking.device import resolved_device

        resolved_device(config.device)


def _track_manifest(config: TrackConfig, entries: Sequence[Entry]) -> None:
    refuse_lacking(config)
    how = How(
        masks=action_masks(config.masks, config.object_words, config.mask_weights, config.device, config.threshold),
        tracker=config.tracker,
        weights=config.weights,
        device=config.device,
        rate_hz=config.rate_hz,
        longest=config.longest,
    )
    drawn = tuple(one for one in ("overlay", "rerun") if getattr(config, one))
    run = RunFolder(config.out, "track", as_dict(config), FREE)
    summary = track_manifest(run, entries, how, drawn, config.workers, config.engine)
    left_out = ", ".join(f"{count} {reason}" for reason, count in summary["left_out"].items())
    print(
        f"{run.path / 'clips'}: {summary['clips']} clips, {summary['seconds'] / 60:.1f} minutes, "
        f"of {summary['actions']} actions; left out: {left_out or 'none'}"
    )
    if summary["put_aside"]:
        print(
            f"{len(summary['put_aside'])} clips of actions that have changed, or are no longer asked for: in put_aside"
        )


def sentence(figures: Mapping[str, float]) -> str:
    """A clip's figures in words."""
    moves = ""
    if "motion" in figures:  # its object was seen
        moves = f"; they move {figures['motion_raw']:.2f} px a frame, {figures['motion']:.2f} compensated"
    return f"{figures['frames']} frames, {figures['object_points']:.0f} object points a frame{moves}"
