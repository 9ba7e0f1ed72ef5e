"""Clip folders, of `mpr synth` or `mpr track`: what they say of themselves, to choose among them or to track again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tracking.clip import Source
from tracking.errors import BadClip
from tracking.sources.action import FIRST_PERSON, Action
from tracking.sources.videos import VideoInfo
from tracking.sources.words import clean
from tracking.store import clip_folders, clip_info

KEPT = ("use", "consent", "perspective")  # of a clip's extra; "use" tells that one which closes is for tests only
SYNTHETIC = {"perspective": FIRST_PERSON, "consent": "none needed: nobody was filmed"}


def actions(folder: Path, reasons: Counter[str]) -> Iterator[Action]:
    """The clips right below `folder`; those that cannot be read are counted in `reasons`. The video is the clip's own,
    the crop. Raises UserError where there is no clip."""
    for clip in clip_folders(folder):
        try:
            about = clip_info(clip)
            source = Source(**about["source"])
            synthetic = source.dataset == "synth"
            said = source.extra
            kept = {key: said[key] for key in KEPT if key in said}
            height, width = about["mask_shape"]
            yield Action(
                dataset=source.dataset,
                uid=source.uid,
                video=clip / "frames.mp4",
                start_s=0.0,
                stop_s=source.stop_s - source.start_s,
                narration=clean(source.narration),
                verbs=tuple(filter(None, [said.get("verb")])),
                nouns=tuple(filter(None, [said.get("noun")])),
                licence="made here" if synthetic else source.licence,
                group=source.group,
                extra={"clip": str(clip), **(SYNTHETIC if synthetic else {}), **kept},
                info=VideoInfo.told(None, about["rate_hz"], width, height),
            )
        except (BadClip, KeyError, TypeError, ValueError):
            reasons["left out: clip.json cannot be read"] += 1
