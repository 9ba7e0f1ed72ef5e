"""What `mpr track` does once it knows its config, and what it says of the result.

A video, a manifest's actions or clips again, into a run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from mpr.core.data.clip import REMARKS, PointTracker
from mpr.core.data.clip_folder import clip_folders, load_clip, save_clip, stands
from mpr.core.data.review import ShownRows, write_review
from mpr.core.data.steps import spacing_in, spacing_summary
from mpr.core.device import resolved_device
from mpr.core.errors import BadVideo
from mpr.core.runs import RunFolder, read_row
from tracking.clips.action_masks import action_masks
from tracking.clips.actions import How, track_manifest
from tracking.clips.again import track_clips
from tracking.clips.config import MASKS_BY_BOX, TRACK_FREE_KEYS, TrackConfig, settings_of
from tracking.clips.from_video import track_video
from tracking.clips.overlay import save_overlay
from tracking.clips.quality import track_quality
from tracking.clips.rerun_recording import save_recording
from tracking.masks.registry import refuse_missing
from tracking.masks.unseen import in_words, visibility_summary
from tracking.sources.manifest import Entry, read_manifest
from tracking.sources.videos import video_digest
from tracking.trackers.registry import make_tracker, tracker_inputs


def track(config: TrackConfig) -> None:
    """All that a config asks for. Raises UserError."""
    if config.video is not None:
        _track_file(config, config.video, _tracker(config))
    elif config.manifest is not None:
        _track_manifest(config, read_manifest(config.manifest))
    elif config.clips is not None:
        run = RunFolder(config.out, "track", settings_of(config), TRACK_FREE_KEYS)
        track_clips(clip_folders(config.clips), run, _tracker(config), config.batch)


def _tracker(config: TrackConfig) -> PointTracker:
    return make_tracker(config.tracker, config.weights, config.device)


def _track_file(config: TrackConfig, video: Path, tracker: PointTracker) -> None:
    assert config.box is not None
    if not video.is_file():
        raise BadVideo(f"video {video} does not exist")
    digest = video_digest(video).hex()  # another one under its name is refused
    settings = settings_of(config) | {"video_digest": digest}
    folder = config.out / "clip"
    if config.out.exists():
        RunFolder(config.out, "track", settings, TRACK_FREE_KEYS)  # refuse another run's folder before the work
    if not stands(folder):
        stretch = (config.start, config.stop, config.rate_hz)
        made = track_video(video, config.box, config.box_frame, *stretch, tracker)
        RunFolder(config.out, "track", settings, TRACK_FREE_KEYS)  # only now: a refused box leaves no run behind
        save_clip(made, folder)
    run = RunFolder(config.out, "track", settings, TRACK_FREE_KEYS)
    clip = load_clip(folder)
    if config.overlay and not (run.path / "overlay.png").exists():
        save_overlay(clip, run.path / "overlay.mp4", run.path / "overlay.png")
    if config.rerun and not (run.path / "clip.rrd").exists():
        save_recording(clip, run.path / "clip.rrd")
    remarks = clip.source.remarks
    if not run.finished:
        figures = track_quality(clip, tracker)
        if config.overlay:
            write_review(run.path, [ShownRows(folder.name, video.name, "overlay.mp4", "overlay.png", figures)])
        run.finish(figures | visibility_summary(clip) | ({REMARKS: remarks} if remarks else {}))
    for remark in remarks:
        print(f"video {video.name}: {remark}")
    summary = read_row(run.path / "summary.json", Summary)
    print(f"{folder}: {sentence(summary)}")
    if lost := in_words(summary, clip.times[-1]):
        print(lost)


def refuse_lacking(config: TrackConfig) -> None:
    """Raises NotReady for weights and devices that every action would lack: before there is a run of these settings."""
    tracker_inputs(config.tracker, config.weights)
    if config.masks != MASKS_BY_BOX:
        refuse_missing(config.masks, config.mask_weights)
    if config.device != "auto":
        resolved_device(config.device)


def _track_manifest(config: TrackConfig, entries: Sequence[Entry]) -> None:
    refuse_lacking(config)
    how = How(
        masks=action_masks(config.masks, config.words, config.mask_weights, config.device, config.threshold),
        tracker=config.tracker,
        weights=config.weights,
        device=config.device,
        rate_hz=config.rate_hz,
        longest=config.longest,
    )
    drawn = tuple(one for one in ("overlay", "rerun") if getattr(config, one))
    run = RunFolder(config.out, "track", settings_of(config), TRACK_FREE_KEYS)
    summary = track_manifest(run, entries, how, drawn, config.workers, config.engine)
    left_out = ", ".join(f"{count} {reason}" for reason, count in summary["left_out"].items())
    for remark, count in summary.get(REMARKS, {}).items():
        print(f"{count} clips: {remark}")
    print(
        f"{run.path / 'clips'}: {summary['clips']} clips, {summary['seconds'] / 60:.1f} minutes, "
        f"{spacing_summary(spacing_in(summary))}, of {summary['actions']} actions; left out: {left_out or 'none'}"
    )
    for reason, count in summary["cut_short"].items():
        print(f"{count} actions cut short: {reason} for {summary['lost_s']:.1f} s in all; which, is in metrics.jsonl")
    if summary["put_aside"]:
        print(
            f"{len(summary['put_aside'])} clips of actions that have changed, or are no longer asked for: in put_aside"
        )


class _Always(TypedDict):
    frames: int
    object_points: float


class Summary(_Always, total=False):
    """What summary.json says of a tracked video, as far as it is told."""

    motion: float
    motion_raw: float
    lost_share: float
    lost_stretches_s: list[tuple[float, float]]
    lost_advice: str


def sentence(figures: Mapping[str, float]) -> str:
    """A clip's figures in words."""
    moves = ""
    if "motion" in figures:  # its object was seen
        moves = f"; they move {figures['motion_raw']:.2f} px a frame, {figures['motion']:.2f} compensated"
    come = ""
    if "gaps" in figures:  # an older run's summary does not tell
        come = f", {spacing_summary(spacing_in(figures))}"
    points = figures.get("object_points", 0.0)
    shown = f"{points:.0f}" if points >= 1 or not points else f"{points:.1g}"  # so few that hardly anything is learnt
    return f"{figures['frames']} frames{come}, {shown} object points a frame{moves}"
