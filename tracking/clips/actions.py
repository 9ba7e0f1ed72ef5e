"""A manifest's actions, tracked: each is a unit of its own, known again by what it was made of.

An action becomes clips: masks of its object, the stretch in which it shows, windows of a bearable length, crop and
points of each. Whatever is wrong with one, the others go on; what is there already is kept, and what no longer belongs
is put aside.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpr.core.attempts import Failed, attempted
from mpr.core.data.clip import REMARKS, ClipSource, FrameSource, MaskSource, Picked, PointTracker
from mpr.core.data.clip_folder import left_aside, load_clip, put_aside, save_clip, stands, written
from mpr.core.data.review import ShownRows, write_review
from mpr.core.data.steps import Spacing
from mpr.core.errors import BadClip, ObjectLost
from mpr.core.runs import RunFolder, versions
from tracking.clips.action_masks import ActionMasks, MaskFacts
from tracking.clips.from_video import remarks_of, stretch_of, track_masked
from tracking.clips.overlay import save_overlay
from tracking.clips.quality import track_quality
from tracking.clips.rerun_recording import save_recording
from tracking.clips.trim import LONGEST_CLIP_S, shown_stretch, windows
from tracking.masks.unseen import unseen
from tracking.sources.manifest import Entry
from tracking.sources.videos import video_digest
from tracking.trackers.registry import make_tracker

LAST = {"overlay": ".png", "rerun": ".rrd"}  # what is written last of each
ActionRow = dict[str, Any]


@dataclass(frozen=True)
class How:
    """How actions are tracked: what their clips are made of, beside the videos. Small enough to send to a worker."""

    masks: ActionMasks
    tracker: str  # its name
    weights: Path | None = None  # of the tracker, where it has any
    device: str = "auto"
    rate_hz: float = 0.0  # re-timed to; 0: the video's own
    longest: float = LONGEST_CLIP_S  # seconds: longer actions are cut into windows


@dataclass(frozen=True)
class Job:
    """One action, its digest, and the run folder that its clips go to."""

    entry: Entry
    made_of: str
    out: Path
    how: How


def track_manifest(
    run: RunFolder, entries: Sequence[Entry], how: How, drawn: Sequence[str], workers: int, engine: str
) -> ActionRow:
    """Track every action that is not tracked yet, draw what is asked for, and write review.html beside the clips.

    Each action gets a row in metrics.jsonl. `drawn` names what to draw where it is missing: "overlay", "rerun".

    Returns the summary: clips, seconds, failures by reason, and how many actions were cut short, as a part was lost.
    Raises UserError where no action gave a clip, and NotReady.
    """
    digest = cache(video_digest)  # there may be hundreds of actions of one
    jobs = [Job(entry, made_of(entry, how, digest(Path(entry.video))), run.path, how) for entry in entries]
    rows = {row["uid"]: row for row in run.metrics()}
    todo = [job for job in jobs if not is_done(run.path, rows.get(job.entry.uid), job.made_of)]
    kept = {job.entry.uid for job in jobs} - {job.entry.uid for job in todo}
    if todo or len(kept) < len(rows):
        run.reopen()
    run.keep_metrics(lambda row: row["uid"] in kept)
    put_others_aside(run)
    failures: Counter[str] = Counter(row["reason"] for row in run.metrics() if "reason" in row)
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="track", unit="action") as bar:
        for index, result in attempted(track_action, todo, workers, engine):
            job = todo[index]
            row: ActionRow = {"uid": job.entry.uid, "made_of": job.made_of}
            if isinstance(result, Failed):
                failures[result.reason] += 1
                row |= {name: value for name, value in dataclasses.asdict(result).items() if value}
                bar.set_postfix(failures)
            else:
                row |= result
            run.log(**row)
            bar.update()
    _draw(run, put_others_aside(run), drawn, workers, engine)
    return _conclude(run, entries)


def put_others_aside(run: RunFolder) -> list[str]:
    """Move clips that are in no row out of clips/, where training would find them, into put_aside/.

    They are of actions that failed half way, have changed, or are no longer asked for. Returns the names of the others.
    """
    named = {clip["clip"] for row in run.metrics() for clip in row.get("clips", ())}
    folders = written(run.path / "clips")
    for folder in folders:
        if folder.name not in named:
            for old in (run.path / "overlays").glob(glob.escape(folder.name) + ".*"):  # first: found by the folder
                old.unlink()
            put_aside(folder, run.path / "put_aside")
    return [folder.name for folder in folders if folder.name in named]


def _draw(run: RunFolder, names: Sequence[str], drawn: Sequence[str], workers: int, engine: str) -> None:
    """What is missing of overlays and recordings; what cannot be drawn is named, and stays missing."""
    todo = [
        (run.path, name, what)
        for name in names
        for what in drawn
        if not (run.path / "overlays" / f"{name}{LAST[what]}").exists()
    ]
    found = attempted(draw_one, todo, workers, engine)
    for index, result in tqdm(found, total=len(todo), desc="overlays", unit="clip", disable=not todo):
        if isinstance(result, Failed):
            tqdm.write(f"mpr track: no {todo[index][2]} of {todo[index][1]}: {result.message}", file=sys.stderr)


def draw_one(one: tuple[Path, str, str]) -> None:
    """Draw one clip into overlays/, given (run folder, clip's name, "overlay" or "rerun")."""
    run, name, what = one
    clip, folder = load_clip(run / "clips" / name), run / "overlays"
    folder.mkdir(exist_ok=True)
    if what == "overlay":
        save_overlay(clip, folder / f"{name}.mp4", folder / f"{name}.png")
    else:
        save_recording(clip, folder / f"{name}.rrd")


def _conclude(run: RunFolder, entries: Sequence[Entry]) -> ActionRow:
    """The summary of what stands, written; and the page to review it by."""
    rows = run.metrics()
    clips = [clip for row in rows for clip in row.get("clips", [])]
    if not clips:
        worst = Counter(row["message"] for row in rows).most_common(1)
        raise BadClip(
            f"none of the {len(rows)} actions gave a clip; most often: {worst[0][0] if worst else 'none tried'}"
        )
    shown = [
        ShownRows(
            clip["clip"], clip["narration"], f"../overlays/{clip['clip']}.mp4", f"../overlays/{clip['clip']}.png", q
        )
        for clip in sorted(clips, key=lambda clip: clip["clip"])
        if (q := clip["quality"]) and (run.path / "overlays" / f"{clip['clip']}.mp4").exists()
    ]
    if shown:
        write_review(run.path / "clips", shown)
    aside = left_aside(run.path / "put_aside", [clip["clip"] for clip in clips])
    figures = [clip["quality"] for clip in clips]
    lost = [stretches for row in rows if (stretches := row.get("lost_stretches_s"))]
    remarks = Counter(remark for clip in clips for remark in clip.get(REMARKS, ()))
    summary: ActionRow = {
        "actions": len(entries),
        "clips": len(clips),
        "seconds": sum(q["seconds"] for q in figures),
        **spacing_of_all(figures),
        "left_out": dict(Counter(row["reason"] for row in rows if "reason" in row).most_common()),
        "cut_short": {ObjectLost.reason: len(lost)} if lost else {},
        "lost_s": sum(stop - start for stretches in lost for start, stop in stretches),
        "put_aside": aside,
        **({REMARKS: dict(remarks)} if remarks else {}),
    }
    run.finish(summary)
    return summary


def spacing_of_all(figures: Sequence[Mapping[str, float]]) -> Spacing:
    """How frames follow each other in clips of these figures; an older run's rows tell of no gap."""
    return {
        "gaps": sum(int(q.get("gaps", 0)) for q in figures),
        "longest_gap_s": max(q.get("longest_gap_s", 0.0) for q in figures),
        "mean_rate_hz": sum(q["frames"] - 1 for q in figures) / sum(q["seconds"] for q in figures),
    }


def made_of(entry: Entry, how: How, video: bytes) -> str:
    """A digest of all that an action's clips are made of: the entry, the settings, and the video (its digest)."""
    settings = [how.masks.name, how.tracker, how.rate_hz, how.longest]
    digest = hashlib.sha256(json.dumps([entry.as_json(), settings]).encode())
    digest.update(video)
    return digest.hexdigest()


def is_done(out: Path, row: ActionRow | None, digest: str) -> bool:
    """Whether an action's clips stand, made of the same; or it was refused for a reason that will be the same again."""
    if row is None or row["made_of"] != digest:
        return False
    if "reason" in row:
        return not row.get("details") and row["reason"] != "worker killed"
    return all(stands(out / "clips" / clip["clip"], made_of=digest) for clip in row["clips"])


def track_action(job: Job) -> ActionRow:
    """Make an action's clips: what a worker does.

    Returns a row for each, and the stretches of the action that do not show the object; raises UserError where it gives
    none.
    """
    entry, how = job.entry, job.how
    frames, times = stretch_of(Path(entry.video), entry.start_s, entry.stop_s, how.rate_hz, entry.boundaries)
    tracker = make_tracker(how.tracker, how.weights, how.device)  # may lack weights, and masks take longest
    masks, told = how.masks(frames, times, entry)
    shows = np.array([masks[t].any() for t in range(len(masks))])
    first, last = shown_stretch(shows, times)
    parts = [np.arange(first + a, first + b + 1) for a, b in windows(times[first : last + 1], how.longest)]
    made = []
    for k, at in enumerate(parts):
        part = f"~{k:0{len(str(len(parts) - 1))}d}" if len(parts) > 1 else ""  # ~ is in no uid: no other action's name
        window = Picked(frames, at), Picked(masks, at), times[at]
        made.append(track_window(job, entry.uid + part, *window, tracker, told))
    return {"clips": made, "lost_stretches_s": unseen(shows, times)}


def track_window(
    job: Job,
    name: str,
    frames: FrameSource,
    masks: MaskSource,
    times: np.ndarray,
    tracker: PointTracker,
    told: MaskFacts,
) -> ActionRow:
    """Track one window of an action into its clip folder, and return the clip's row.

    T frames [H, W, 3] uint8 RGB, T masks bool [H, W], `times` [T] in seconds of the video.
    """
    entry, how = job.entry, job.how
    seen = remarks_of(frames, masks)
    source = ClipSource(
        dataset=entry.dataset,
        uid=name,
        start_s=float(times[0]),
        stop_s=float(times[-1]),
        narration=entry.narration,
        licence=entry.licence,
        masks=how.masks.name,
        tracker=tracker.name,
        group=entry.group,
        versions=versions(),
        extra={**entry.extra, **told, **seen, "made_of": job.made_of, "verb": entry.verb, "noun": entry.noun},
    )
    clip = track_masked(frames, masks, times, how.rate_hz, tracker, source)
    figures = track_quality(clip, tracker)
    save_clip(clip, job.out / "clips" / name)
    return {"clip": name, "narration": entry.narration, "quality": figures, **seen}
