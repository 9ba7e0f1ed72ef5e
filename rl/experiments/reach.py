"""`mpr experiment reach`: does the motion reward teach a robot? The claim of the project, put so that it can fail.

Five rewards, all else identical: base policy, demonstrations, training and evaluation seeds, -1 a step, bonus,
termination (only `paper_sparse` pays 0 and 1). The door starts ajar, so that moving it the wrong way is possible.
What the motion reward adds is its variant minus `none`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpr.core.config import parse_config
from rl.experiments.practice import PRACTICE_PRESETS, PracticeConfig, experiment

VARIANTS = ("motion", "motion tracker=lucas_kanade", "none", "any_motion", "dense", "paper_sparse")


@dataclass(frozen=True, kw_only=True)
class ReachConfig(PracticeConfig):
    """Motion, no, any-motion, dense and the paper's sparse reward beside the base policy, on doors that start ajar."""

    variants: list[str] = field(default_factory=lambda: list(VARIANTS))  # reward, then settings that differ
    against: str = "none"  # a variant that the others are compared with too
    ajar: bool = True  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    out: Path = Path("runs/reach")  # run folder


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment reach`: practises, evaluates and reports."""
    experiment(*parse_config(ReachConfig, argv, "mpr experiment reach", PRACTICE_PRESETS, {"env": "task"}), "reach")
