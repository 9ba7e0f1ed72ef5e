"""What a trained predictor was made of: model_card.json for programs, model_card.md for people."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpr.core.config import as_dict
from mpr.core.data.clip import TrackedClip
from mpr.core.data.steps import spacing, spacing_in, spacing_summary
from mpr.core.runs import versions, write_atomic
from mpr.predictor.registry import find_encoder
from mpr.predictor.sizes import PredictorSize
from mpr.training.config import TrainConfig
from tracking.motion.compensation import KNOWN_CAMERA, Compensation

FORBIDDING = (  # in a clip's licence
    r"(?<![a-z])NC(?![a-z])",
    r"non[- ]?commercial|(not for|no) commercial",
    r"(research|academic|education(al)?|scientific)([- ](use|purposes?))?[- ]only",
    r"only for (research|academic|education)",
    r"Ego4D",
)
NOT_COMMERCIAL = re.compile("|".join(FORBIDDING), re.IGNORECASE)
COTRACKER = "CC-BY-NC 4.0"


def model_card(
    config: TrainConfig, size: PredictorSize, train: Sequence[TrackedClip], val: Sequence[TrackedClip], parameters: int
) -> dict[str, Any]:
    """Sizes, data and versions as JSON values; also stands in every checkpoint."""
    clips = [*train, *val]
    rates = sorted({round(clip.rate_hz, 3) for clip in clips})
    return {
        "size": dataclasses.asdict(size),
        "trained_parameters": parameters,
        "rate_hz": config.rate_hz or rates[len(rates) // 2],
        "encoder_weights": str(config.weights) if find_encoder(size.encoder).frozen else None,
        "data": {
            "clips": len(train),
            "held_out_clips": len(val),
            **spacing(*((clip.times, clip.gaps) for clip in clips)),
            "hours": sum(float(clip.times[-1] - clip.times[0]) for clip in train) / 3600,
            "groups": _all(train, "group"),
            "held_out_groups": _all(val, "group"),
            "datasets": _all(clips, "dataset"),
            "licences": _all(clips, "licence"),
            "masks": _all(clips, "masks"),
            "trackers": _all(clips, "tracker"),
            "narrations": _all(clips, "narration"),
            "sources": sources(train),
            "video": card_remarks(clips),
            "object": sorted({str(clip.source.extra.get("object", "whole")) for clip in clips}),
        },
        "not_commercial": not_commercial(clips),
        "versions": versions(),
        "config": as_dict(config),
    }


def sources(clips: Sequence[TrackedClip]) -> list[dict[str, Any]]:
    """Clips and hours of each data set, licence and tracker."""
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for clip in clips:
        key = (clip.source.dataset, clip.source.licence, clip.source.tracker)
        seconds[key].append(float(clip.times[-1] - clip.times[0]))
    return [
        {"dataset": dataset, "licence": licence, "tracker": tracker, "clips": len(some), "hours": sum(some) / 3600}
        for (dataset, licence, tracker), some in sorted(seconds.items())
    ]


def card_remarks(clips: Sequence[TrackedClip]) -> dict[str, int]:
    """What is to be said of the videos' images, such as colours that were converted: of how many clips each."""
    return dict(sorted(Counter(told for clip in clips for told in clip.source.remarks).items()))


def not_commercial(clips: Sequence[TrackedClip]) -> list[str]:
    """What forbids a commercial use of the predictor, each in a few words; what is not listed may still forbid it."""
    out = {
        f"trained on {c.source.dataset}, {c.source.licence}" for c in clips if NOT_COMMERCIAL.search(c.source.licence)
    }
    out |= {f"tracked with {c.source.tracker}, {COTRACKER}" for c in clips if "cotracker" in c.source.tracker.lower()}
    return sorted(out)


def _all(clips: Sequence[TrackedClip], key: str) -> list[str]:
    return sorted({str(getattr(clip.source, key)) for clip in clips})


def taken_out(compensate: Compensation) -> str:
    """Which camera motion was taken out of the clips, in words."""
    words = {KNOWN_CAMERA: "known, the simulator's own camera (privileged)", "none": "none"}
    return words.get(compensate, f"{compensate}, estimated from the background's tracks")


def write_model_card(run: Path, card: dict[str, Any], held_out: str) -> None:
    """model_card.json and model_card.md in the run folder."""
    write_atomic(run / "model_card.json", json.dumps(card, indent=2) + "\n")
    data, size = card["data"], card["size"]
    lines = [
        f"# Motion predictor, {card['config']['size']}",
        "",
        f"{card['trained_parameters'] / 1e6:.1f} M trained parameters; encoder {size['encoder']} at {size['image']} "
        f"px; {size['points']} points a sample; {size['steps']} steps of {size['batch']} samples; "
        f"{card['rate_hz']:g} Hz.",
        "",
        f"Data: {data['clips']} clips ({data['hours']:.3f} h) of {len(data['groups'])} groups; held out "
        f"{data['held_out_clips']} clips of {len(data['held_out_groups'])} groups. "
        f"Frames: {spacing_summary(spacing_in(data))}. "
        f"Object: {', '.join(data['object'])}. "
        f"Camera motion taken out: {taken_out(card['config']['compensate'])}. Masks: {', '.join(data['masks'])}. "
        f"Narrations: {', '.join(data['narrations'][:5])}.",
        "",
        *(f"**Not for commercial use**: {why}." for why in card["not_commercial"]),
        *([""] if card["not_commercial"] else []),
        *(f"Videos of {count} clips: {told}.\n" for told, count in data["video"].items()),
        "| data set | licence | tracks | clips | hours |",
        "|---|---|---|---|---|",
        *("| {dataset} | {licence} | {tracker} | {clips} | {hours:.3f} |".format(**row) for row in data["sources"]),
        "",
        "On the held-out groups:",
        "",
        held_out,
        "",
    ]
    write_atomic(run / "model_card.md", "\n".join(lines))
