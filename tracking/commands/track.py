"""`mpr track`: an object through a video, from a box; the actions of a manifest; or clips that exist, again.

Clips are tracked again with another tracker.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from mpr.core.data.clip_folder import clip_folders
from tracking.clips.config import TrackConfig
from tracking.sources.manifest import read_manifest
from tracking.trackers.registry import tracker_inputs


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr track`. Raises UserError."""
    config, dry_run = parse_config(TrackConfig, argv, prog="mpr track")
    if dry_run:
        return _plan(config)
    from tracking.clips.runs import track

    track(config)


def _plan(config: TrackConfig) -> None:
    inputs = {n: p for n in ("video", "manifest", "clips") if (p := getattr(config, n)) is not None}
    inputs |= tracker_inputs(config.tracker, config.weights)
    facts: dict[str, object] = {}
    if config.manifest is not None and config.manifest.is_file():
        from mpr.core.data.video import is_there

        entries = read_manifest(config.manifest)
        facts["actions"] = f"{len(entries)}, {sum(entry.seconds for entry in entries) / 60:.1f} minutes"
        facts["videos that are there"] = sum(is_there(Path(entry.video)) for entry in entries)
    if config.video is not None and config.video.is_file():
        from mpr.core.data.video import VideoFrames

        video = VideoFrames(config.video)
        h, w = video[0].shape[:2]
        facts["video"] = f"{len(video)} frames, {w} x {h} pixels, {video.rate_hz:.4g} Hz, {video.times[-1]:.2f} s"
        facts |= {"images": "; ".join(video.remarks)} if video.remarks else {}
    if config.clips is not None and config.clips.is_dir():
        facts["clips"] = len(clip_folders(config.clips))
    print_plan(config, inputs, facts, config.out)
