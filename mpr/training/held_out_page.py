"""The held-out tables in words: what a run keeps as held_out.md, prints, and puts on its model card; and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from mpr.reward.agreement import MOTION_THRESHOLD_PX, PREDICTED
from mpr.training.held_out import HELD_OUT_ROWS, Against
from mpr.training.metrics import Figures
from mpr.training.probes import STILL_PX

_COLUMNS = {  # figure -> heading with its unit, and what it is
    "agreement": (
        "agreement (0 to 1)",
        f"mean of max(0, cosine) of predicted and {{target}}, over moving points; one predicted to move less than "
        f"{PREDICTED:g} px counts 0. 1: every direction is right.",
    ),
    "contrast": (
        "contrast (times)",
        "mean predicted length on moving points over that on still points. 1: the predictor does not tell which points "
        "move; –: there are no still points, or it predicts no motion on them.",
    ),
    "rest_agreement": (
        "agreement from rest (0 to 1)",
        "agreement where the object stood still in both frames seen and moves next: no motion can be copied.",
    ),
    "error_px": (
        "end-point error (px)",
        "mean distance of predicted and {target} over moving points, in pixels of 256.",
    ),
}
assert list(_COLUMNS) == [f.name for f in dataclasses.fields(Figures)]


def page(tables: Sequence[Against]) -> str:
    """All tables with their definitions, as Markdown."""
    if not tables:
        return "No step of a held-out clip shows a point of the object: nothing can be said of the predictor."
    return "\n\n".join(
        "\n\n".join([f"### {_title(one)}", *_points(one), held_out_table(one), _words(one)]) for one in tables
    )


def held_out_table(one: Against) -> str:
    """Only the table, as Markdown."""
    head = ["", *(heading for heading, _ in _COLUMNS.values())]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in one.rows.items():
        lines.append("| " + " | ".join([name, *(str(getattr(row, key)) for key in _COLUMNS)]) + " |")
    return "\n".join(lines)


def held_out_summary(tables: Sequence[Against]) -> dict[str, Any]:
    """For summary.json: `held_out` holds the rows of the first table, `held_out_against` what each table is against."""
    out: dict[str, Any] = {"held_out": {}, "held_out_against": []}
    for k, one in enumerate(tables):
        rows = {name: dataclasses.asdict(row) for name, row in one.rows.items()}
        about = {"target": one.target, "clips": one.clips, "unknown_points": one.unknown}
        if one.residue is not None:
            about["residue_share"] = dataclasses.asdict(one.residue)
        out["held_out_against"].append(about)
        out["held_out" if k == 0 else f"held_out_{one.target.split()[0]}"] = rows
    return out


def _title(one: Against) -> str:
    clips = f"{one.clips} held-out clip{'s' if one.clips != 1 else ''}"
    return f"Against the {one.target}: {clips}, 95 % intervals over clips"


def _points(one: Against) -> list[str]:
    """Which points count, what the target is worth, and whether any moves."""
    none = "No point moves so far in these clips: nothing can be said of the predictor but of points at rest."
    return [_target(one), *([] if one.moving else [none])]


def _target(one: Against) -> str:
    if one.target == "true motion":
        return (
            "The scene of these clips was recorded, so it is known how each point of the object truly moves, the "
            f"camera held still. Moving points truly move by {MOTION_THRESHOLD_PX:g} px of 256 or more in a step, "
            "still ones by less "
            f"than {STILL_PX:g} px. Points at which no surface of the object is found are left out: {one.unknown:.1%}."
        )
    return (
        "**How the object truly moves is not known in these clips**: their scene was not recorded. The target is what "
        f"compensation makes of the tracks. Moving points move by {MOTION_THRESHOLD_PX:g} px of 256 or more in it, "
        "still ones by "
        "less; a point at rest counts as moving where enough is left of the camera's motion. Share of the moving "
        f"points expected to be such residue: {one.residue} (their nearest background points move as well; an "
        "estimate, too low where the object stands nearer to the camera than all scenery). Agreement with residue says "
        "nothing about the object: compare rows, read none alone."
    )


def _words(one: Against) -> str:
    figures = [f"- **{heading}**: {words.format(target=one.target)}" for heading, words in _COLUMNS.values()]
    rows = [f"- {name}: {HELD_OUT_ROWS[name].format(target=one.target)}." for name in one.rows]
    absent = [] if "exchanged images" in one.rows else ["- exchanged images: –, all clips are of one group."]
    return "\n".join([*figures, *rows, *absent])
