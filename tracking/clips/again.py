"""Clips that exist, tracked again with another tracker: frames and masks stay theirs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from mpr.core.attempts import Failed, attempt_unit
from mpr.core.data.clip import PointTracker, Recent
from mpr.core.data.clip_folder import clip_digest, left_aside, load_clip, put_aside, save_tracks, stands, written
from mpr.core.errors import BadClip
from mpr.core.runs import RunFolder
from tracking.motion.segments import segments_of_clips


def track_clips(folders: Sequence[Path], run: RunFolder, tracker: PointTracker, batch: int) -> None:
    """Track the clips of `folders` again, `batch` at a time, into the run folder.

    Clips are independent: one that cannot be read or tracked is named and counted, and the others go on. What is there
    of the same clip is kept; of one that has changed, or is no longer asked for, it is put aside.

    Raises BadClip where none could be tracked.
    """
    left = [folder for folder in folders if not stands(run.path / folder.name, tracked_from=clip_digest(folder))]
    kept = {folder.name for folder in folders} - {folder.name for folder in left}
    old = [folder for folder in written(run.path) if folder.name not in kept]
    if left or old:
        run.reopen()
    run.keep_metrics(lambda row: False)  # what was left out is tried again
    for folder in old:
        put_aside(folder, run.path / "put_aside")
    bad = 0
    with tqdm(desc="clips", unit="clip", total=len(folders), initial=len(kept), disable=None) as bar:
        for i in range(0, len(left), batch):
            for folder, failed in _track_again(tracker, run.path, left[i : i + batch]):
                bar.update()
                if failed is not None:
                    bad += 1
                    run.log(clip=folder.name, **{k: v for k, v in dataclasses.asdict(failed).items() if v})
                    tqdm.write(f"mpr track: left out: {failed.message}", file=sys.stderr)
    if bad == len(folders):
        raise BadClip(f"none of the {bad} clips could be tracked")
    aside = left_aside(run.path / "put_aside", [folder.name for folder in written(run.path)])
    run.finish({"clips": len(folders) - bad, "left_out": bad, "tracker": tracker.name, "put_aside": aside})
    print(f"{run.path}: {len(folders) - bad} clips tracked by {tracker.name}, {bad} left out, {len(aside)} put aside")


def _track_again(tracker: PointTracker, out: Path, folders: Sequence[Path]) -> Iterator[tuple[Path, Failed | None]]:
    """Track clip folders together; where that fails, each alone: a GPU's memory may do for one, and not for all."""
    failed = attempt_unit(partial(_track_together, tracker, out), folders)
    if failed is not None and len(folders) > 1:
        for folder in folders:
            yield from _track_again(tracker, out, [folder])
    else:
        yield from ((folder, failed) for folder in folders)


def _track_together(tracker: PointTracker, out: Path, folders: Sequence[Path]) -> None:
    clips = [load_clip(folder, verify=True) for folder in folders]
    segments = segments_of_clips(tracker, [(Recent(clip.frames), clip.masks) for clip in clips])
    for folder, found in zip(folders, segments, strict=True):
        save_tracks(folder, out / folder.name, found, tracker.name)
