"""Clips that exist, tracked again with another tracker: frames and masks stay theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from tracking.clip import PointTracker, Recent
from tracking.errors import BadClip, UserError
from tracking.runs import RunFolder
from tracking.segments import segments_of_clips
from tracking.store import load_clip, save_tracks


def track_clips(folders: Sequence[Path], run: RunFolder, tracker: PointTracker, batch: int) -> None:
    """Clips are independent: one that cannot be read or tracked is named and counted, and the others go on. Raises
    BadClip where none could be tracked."""
    left = [folder for folder in folders if not (run.path / folder.name / "clip.json").exists()]
    done, bad = len(folders) - len(left), 0
    with tqdm(desc="clips", unit="clip", total=len(folders), initial=done, disable=None) as bar:
        for i in range(0, len(left), batch):
            for folder, error in _track_again(tracker, left[i : i + batch], run.path):
                bar.update()
                if error is not None:
                    bad += 1
                    run.log(clip=folder.name, error=str(error))
                    tqdm.write(f"mpr track: left out: {error}", file=sys.stderr)
    if bad == len(folders):
        raise BadClip(f"none of the {bad} clips could be tracked")
    run.finish({"clips": len(folders) - bad, "left_out": bad, "tracker": tracker.name})
    print(f"{run.path}: {len(folders) - bad} clips tracked by {tracker.name}, {bad} left out")


def _track_again(tracker: PointTracker, folders: Sequence[Path], out: Path) -> Iterator[tuple[Path, UserError | None]]:
    """Track clip folders together; where one of them fails, each alone. Yields each, and why it failed if it did."""
    try:
        clips = [load_clip(folder, verify=True) for folder in folders]
        segments = segments_of_clips(tracker, [(Recent(clip.frames), clip.masks) for clip in clips])
        for folder, found in zip(folders, segments, strict=True):
            save_tracks(folder, out / folder.name, found, tracker.name)
    except (UserError, RuntimeError) as error:  # a GPU's memory may do for one, and not for all
        if len(folders) > 1:
            for folder in folders:
                yield from _track_again(tracker, [folder], out)
        elif isinstance(error, UserError):
            yield folders[0], error
        else:
            raise
    else:
        yield from ((folder, None) for folder in folders)
