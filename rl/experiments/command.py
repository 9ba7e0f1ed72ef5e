"""`mpr experiment NAME ...`: maps an experiment's name to its module, imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from mpr.core.errors import UserError

EXPERIMENTS = {
    "direction": ("rl.experiments.direction:main", "does the reward know which way the door goes?"),
    "base": ("rl.experiments.base:main", "how many demonstrations make a base policy worth improving"),
    "reach": ("rl.experiments.reach:main", "does the motion reward teach a robot what nobody showed it?"),
    "practice": ("rl.experiments.practice:main", "rewards, and parts of the method, beside the base policy"),
    "calibration": ("rl.experiments.calibration:main", "is there a goal beyond what is shown that practice can reach?"),
    "learner": ("rl.experiments.learner:main", "which changes to the learner are fair to every reward"),
    "ceiling": ("rl.experiments.ceiling:main", "how far a residual reaches: the scripted expert held to what it adds"),
}


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr experiment`: hands over to the experiment named first; UserError for one that does not exist."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: mpr experiment NAME [--config FILE] [--key value ...] [--out DIR] [--dry-run] [--help]\n")
        print("\n".join(f"  {name:<11} {text}" for name, (_, text) in EXPERIMENTS.items()))
        return
    if argv[0] not in EXPERIMENTS:
        raise UserError(f"unknown experiment '{argv[0]}'; there is {', '.join(EXPERIMENTS)}")
    module, function = EXPERIMENTS[argv[0]][0].split(":")
    getattr(importlib.import_module(module), function)(argv[1:])
