"""What a representation was made of: model_card.json for programs, model_card.md for people."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpr.core.config import as_dict
from mpr.core.data.clip import TrackedClip
from mpr.core.runs import versions, write_atomic
from mpr.predictor.sizes import PredictorSize
from mpr.pretraining.config import PretrainConfig
from mpr.training.model_card import card_remarks, not_commercial, sources


def representation_card(
    config: PretrainConfig, size: PredictorSize, train: Sequence[TrackedClip], val: Sequence[TrackedClip], short: int
) -> dict[str, Any]:
    """Size, data and versions as JSON values. `short`: clips that were left out."""
    clips = [*train, *val]
    return {
        "objective": config.objective,
        "size": dataclasses.asdict(size),
        "width": config.width,
        "rate_hz": config.rate_hz or float(sorted(clip.rate_hz for clip in clips)[len(clips) // 2]),
        "data": {
            "clips": len(train),
            "held_out_clips": len(val),
            "left_out_clips": short,
            "groups": sorted({clip.source.group for clip in train}),
            "held_out_groups": sorted({clip.source.group for clip in val}),
            "sources": sources(train),
            "video": card_remarks(clips),
        },
        "not_commercial": not_commercial(clips),
        "versions": versions(),
        "config": as_dict(config),
    }


def write_representation_card(run: Path, card: dict[str, Any], parameters: int, held_out: str) -> None:
    """model_card.json and model_card.md in the run folder."""
    write_atomic(run / "model_card.json", json.dumps(card | {"trained_parameters": parameters}, indent=2) + "\n")
    data, size = card["data"], card["size"]
    lines = [
        f"# Representation, {card['objective']}",
        "",
        f"{parameters / 1e6:.1f} M trained parameters; encoder {size['encoder']} at {size['image']} px; "
        f"{card['width']} numbers a frame; {card['steps']} steps of {size['batch']} clips; {card['rate_hz']:g} Hz.",
        "",
        f"Data: {data['clips']} clips of {len(data['groups'])} groups; held out {data['held_out_clips']} clips of "
        f"{len(data['held_out_groups'])} groups; left out as too short: {data['left_out_clips']}.",
        "",
        *(f"**Not for commercial use**: {why}.\n" for why in card["not_commercial"]),
        *(f"Videos of {count} clips: {told}.\n" for told, count in data["video"].items()),
        "| data set | licence | tracks | clips | hours |",
        "|---|---|---|---|---|",
        *("| {dataset} | {licence} | {tracker} | {clips} | {hours:.3f} |".format(**row) for row in data["sources"]),
        "",
        held_out,
        "",
    ]
    write_atomic(run / "model_card.md", "\n".join(lines))
