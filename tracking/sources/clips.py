"""Clip folders, of `mpr synth` or `mpr track`: what they say of themselves, to choose among them or to track again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mpr.core.data.boundaries import STAMPS, Boundaries
from mpr.core.data.clip import ClipSource
from mpr.core.data.clip_folder import clip_folders, clip_info
from mpr.core.errors import BadClip
from tracking.sources.action import FIRST_PERSON, VideoAction
from tracking.sources.registry import SourcePlace
from tracking.sources.video_info import VideoInfo
from tracking.sources.words import clean

_KEPT = ("use", "consent", "perspective")  # of a clip's extra; "use" tells that one which closes is for tests only
SYNTHETIC = {"perspective": FIRST_PERSON, "consent": "none needed: nobody was filmed"}


def source(at: SourcePlace, reasons: Counter[str]) -> Iterator[VideoAction]:
    """`folder_of_clips_actions`, by the name in the registry."""
    return folder_of_clips_actions(at.path, reasons)


def folder_of_clips_actions(folder: Path, reasons: Counter[str]) -> Iterator[VideoAction]:
    """The clips right below `folder` as actions, whose video is the clip's own, the crop.

    Those that cannot be read are counted in `reasons`. Raises UserError where there is no clip.
    """
    for clip in clip_folders(folder):
        try:
            about = clip_info(clip)
            source = ClipSource(**about["source"])
            synthetic = source.dataset == "synth"
            said = source.extra
            kept = {key: said[key] for key in _KEPT if key in said}
            height, width = about["mask_shape"]
            last_s = source.stop_s - source.start_s
            yield VideoAction(
                dataset=source.dataset,
                uid=source.uid,
                video=clip / "frames.mp4",
                start_s=0.0,
                stop_s=last_s,
                narration=clean(source.narration),
                verbs=tuple(filter(None, [said.get("verb")])),
                nouns=tuple(filter(None, [said.get("noun")])),
                licence="made here" if synthetic else source.licence,
                group=source.group,
                extra={"clip": str(clip), **(SYNTHETIC if synthetic else {}), **kept},
                info=VideoInfo.of(None, about["rate_hz"], width, height),
                boundaries=Boundaries(STAMPS, 0, last_s),
            )
        except (BadClip, KeyError, TypeError, ValueError):
            reasons["left out: clip.json cannot be read"] += 1
