"""Ego4D's annotation files: narrations, `fho_main` (v2 and v1) and `fho_lta`, told apart by what is in them.

fho_lta names verb, noun, start and stop; fho_main has narrations with start and stop; narrations have a point in time,
which becomes a window (`windows.around`). Frame numbers count at 30 a second, unless the seconds beside them tell
another rate. A file is read whole: fho_main.json is gigabytes, and takes several times as much memory while it is open.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mpr.core.data.boundaries import BY_SECONDS, NUMBERS, Boundaries
from mpr.core.errors import UserError
from tracking.sources.action import CONTRADICTS, FIRST_PERSON, VideoAction, valid
from tracking.sources.numbering import Numbering, of_one_row
from tracking.sources.registry import SourcePlace
from tracking.sources.tables import load_json
from tracking.sources.video_info import LARGEST_VIDEO_NUMBER, VideoInfo
from tracking.sources.videos import first_there
from tracking.sources.windows import around
from tracking.sources.words import actor, clean

_LICENCE = "Ego4D License Agreement"
_RATE_HZ = 30.0  # frame numbers count the frames of the released videos, all encoded anew at 30
_ABOUT = {"perspective": FIRST_PERSON, "consent": "informed consent of the camera wearers, as the data set states"}
NO_LABEL = ("", "none", "[other]")
PASSES = ("narration_pass_1", "narration_pass_2")  # two annotators narrated each video, apart from each other


def source(at: SourcePlace, reasons: Counter[str]) -> Iterator[VideoAction]:
    """`ego4d_actions`, by the name in the registry."""
    return ego4d_actions(at.path, at.videos, reasons, at.unfit_too)


def ego4d_actions(
    file: Path, videos: Path | None, reasons: Counter[str], unfit_too: bool = False
) -> Iterator[VideoAction]:
    """The valid actions of one annotation file; those left out are counted in `reasons`.

    Videos are looked for as <uid>.mp4 in `videos`, or in full_scale/ and video_540ss/ beside annotations/. Raises
    UserError for a file of another layout.
    """
    if file.is_dir():
        there = ", ".join(sorted(f.name for f in file.glob("*.json"))) or "none"
        raise UserError(f"--ego4d {file} is a folder: name one of its annotation files ({there})")
    content = load_json(file)
    roots = [videos] if videos else [file.parent.parent / name for name in ("full_scale", "video_540ss")]
    read, parts = _layout(file, content)
    about = _metadata(file)
    for part, one in parts:
        try:
            video = str(one["video_uid"] if part is None else part).removesuffix(".mp4")
            path = first_there(root / f"{video}.mp4" for root in roots)
            known = about.get(video, {})
            info = _info(one.get("video_metadata") or known.get("video_metadata") or {}, known.get("duration_sec"))
            group = str(known.get("fb_participant_id") or video)
            make = partial(VideoAction, "ego4d", video=path, licence=_LICENCE, group=group, info=info)
            yield from valid(read(one, video, make), reasons, unfit_too)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{file}: {part or 'a video'}: {why}; is this a file of Ego4D's own layout?") from error


def _layout(file: Path, content: Any) -> tuple[Any, Iterator[tuple[str | None, Mapping[str, Any]]]]:
    """How to read the file, and what to read: (video uid or None where it says so itself, its part)."""
    if isinstance(content, dict):
        videos = content.get("videos", content.get("video_data"))
        if _any_has(content.get("clips"), "action_clip_start_sec"):
            return _lta, ((None, clip) for clip in content["clips"])
        if _any_has(videos, "annotated_intervals"):
            return _fho, iter(videos.items() if isinstance(videos, dict) else [(None, v) for v in videos or ()])
        narrated = videos if isinstance(videos, dict) else content
        if _any_has(narrated, *PASSES):
            return _narrations, iter(narrated.items())
    raise UserError(
        f"{file} has none of the layouts known: narration.json (narration_pass_1 of each video), fho_main.json "
        "(annotated_intervals), fho_lta_train.json (clips with action_clip_start_sec)"
    )


def _any_has(items: Any, *keys: str) -> bool:
    """Whether any of a list's items, or a dict's values, is an object with one of the keys."""
    values = items.values() if isinstance(items, dict) else items if isinstance(items, list) else ()
    return any(isinstance(value, dict) and not value.keys().isdisjoint(keys) for value in values)


def _narrations(one: Mapping[str, Any], video: str, make: Any) -> Iterator[VideoAction]:
    for name in PASSES:
        said = (one.get(name) or {}).get("narrations") or []
        windows = around([float(n["timestamp_sec"]) for n in said])
        for k, (narration, (start, stop)) in enumerate(zip(said, windows, strict=True)):
            who, stamp = actor(narration["narration_text"]), float(narration["timestamp_sec"])
            numbering, agree = _numbering([(stamp, narration.get("timestamp_frame"))])
            yield make(
                uid=f"{video}-p{name[-1]}-{k:05d}",
                start_s=start,
                stop_s=stop,
                narration=clean(narration["narration_text"]),
                verbs=(),
                nouns=(),
                extra={**_ABOUT, "pass": int(name[-1]), "stamp_s": stamp},
                unfit=_NOT_WEARER.get(who, "" if agree else CONTRADICTS),
                numbering=numbering,
            )


_NOT_WEARER = {"other": "another person's action (#O)", "summary": "a summary", "": "says not who acts (no #C)"}


def _numbering(pairs: list[tuple[Any, Any]]) -> tuple[Numbering | None, bool]:
    """How an action's frame numbers count that stand beside its seconds, where not at 30, and whether they agree."""
    told = [p for p in pairs if not any(isinstance(v, bool) or not isinstance(v, int | float) for v in p)]
    return of_one_row([p for p in told if all(0 <= v < LARGEST_VIDEO_NUMBER for v in p)], _RATE_HZ)


def _fho(one: Mapping[str, Any], video: str, make: Any) -> Iterator[VideoAction]:
    for i, interval in enumerate(one["annotated_intervals"]):
        redacted = bool(interval.get("redacted"))
        narrated = (interval.get("narrated_actions") or []) if redacted else interval["narrated_actions"]
        for k, action in enumerate(narrated):
            text = action.get("narration_text") or ""
            beside = [(action.get(f"{end}_sec"), action.get(f"{end}_frame")) for end in ("start", "end")]
            numbering, agree = _numbering(beside)
            flags = ["redacted"] * redacted
            flags += [f for f in ("is_rejected", "is_invalid_annotation", "is_partial") if action.get(f)]
            flags += ["is_valid_action is false"] if action.get("is_valid_action") is False else []
            flags += [_NOT_WEARER["other"]] if actor(text) == "other" else []
            flags += [] if agree else [CONTRADICTS]
            rate = numbering.rate_hz if numbering and numbering.known else _RATE_HZ
            (start, stop, boundaries), window = (NOWHERE, "") if flags else _fho_window(action, rate)
            yield make(
                uid=f"{video}-fho-{i:03d}-{k:03d}",
                start_s=start,
                stop_s=stop,
                boundaries=boundaries,
                narration=clean(text),
                verbs=_names(action.get("structured_verb") or action.get("freeform_verb") or ""),
                nouns=_names(_changed_object(action)),
                extra={**_ABOUT, "window": window},
                unfit=flags[0] if flags else "",
                numbering=numbering,
            )


NOWHERE = (math.nan, math.nan, BY_SECONDS)


def _fho_window(action: Mapping[str, Any], rate_hz: float) -> tuple[tuple[float, float, Boundaries], str]:
    """From the frame before the hand acts to the frame after the change, as R3M took them; without these frames the
    annotated stretch around, which is longer."""
    critical = action.get("critical_frames") or {}
    before, after = critical.get("pre_frame"), critical.get("post_frame")
    if isinstance(before, int) and isinstance(after, int) and before < after:
        return _frames(before, after, rate_hz), "pre_frame to post_frame"
    if action.get("start_sec") is not None and action.get("end_sec") is not None:
        return (float(action["start_sec"]), float(action["end_sec"]), BY_SECONDS), "start_sec to end_sec"
    return _frames(action["start_frame"], action["end_frame"], rate_hz), "start_frame to end_frame"


def _frames(start: int, stop: int, rate_hz: float) -> tuple[float, float, Boundaries]:
    return start / rate_hz, stop / rate_hz, Boundaries(NUMBERS, start, stop, rate_hz=rate_hz)


def _changed_object(action: Mapping[str, Any]) -> str:
    """The noun of the object that changes, from its box on the frame of no return, else on any."""
    frames = sorted(action.get("frames") or [], key=lambda frame: frame.get("frame_type") != "pnr_frame")
    boxes = [b for frame in frames for b in frame.get("boxes") or [] if b.get("object_type") == "object_of_change"]
    labels = [str(b.get(key)) for b in boxes for key in ("structured_noun", "freeform_noun") if b.get(key)]
    return next((label for label in labels if label.lower() not in NO_LABEL), "")


def _lta(one: Mapping[str, Any], video: str, make: Any) -> Iterator[VideoAction]:
    if one.get("verb") is None:
        unnamed = {"uid": video, "narration": "", "verbs": (), "nouns": ()}
        yield make(start_s=math.nan, stop_s=math.nan, unfit="not annotated (test split)", **unnamed)
        return
    parent = float(one["clip_parent_start_sec"])
    start, stop = one["action_clip_start_sec"], one["action_clip_end_sec"]
    verbs, nouns = _names(one["verb"]), _names(one["noun"])
    beside = [(start, one.get("action_clip_start_frame")), (stop, one.get("action_clip_end_frame"))]
    numbering, agree = _numbering(beside)  # both count from the clip's start
    yield make(
        uid=f"{one.get('clip_uid') or video}-lta-{int(one['action_idx']):04d}",
        start_s=parent + float(start),
        stop_s=parent + float(stop),
        narration=" ".join((*verbs[:1], *nouns[:1])),
        verbs=verbs,
        nouns=nouns,
        extra={**_ABOUT, "narration": "made of verb and noun"},
        unfit="" if agree else CONTRADICTS,
        numbering=numbering,
    )


@lru_cache(10_000)
def _names(label: str) -> tuple[str, ...]:
    """The names in a label of Ego4D's taxonomy: "turn_on_(switch,_start)" is turn on, switch, start."""
    if label.strip().lower() in NO_LABEL:
        return ()
    parts = (" ".join(part.replace("_", " ").split()) for part in re.split(r"[(),]", label))
    return tuple(part for part in parts if part)


def _metadata(file: Path) -> dict[str, Mapping[str, Any]]:
    """ego4d.json, where it lies beside the annotations or a folder above: video uid -> what it says."""
    found = next((f for f in (file.parent / "ego4d.json", file.parent.parent / "ego4d.json") if f.is_file()), None)
    if found is None:
        return {}
    try:
        return {v["video_uid"]: v for v in load_json(found)["videos"]}
    except (KeyError, TypeError) as error:
        raise UserError(f"{found} is no list of Ego4D's videos ({error}): get it anew, or put it elsewhere") from error


def _info(said: Mapping[str, Any], seconds: object) -> VideoInfo | None:
    seconds = said.get("duration_sec") or seconds
    return VideoInfo.of(seconds, said.get("fps"), said.get("width"), said.get("height")) if said or seconds else None
