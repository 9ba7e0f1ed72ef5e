"""`mpr bench camera`: what each compensation leaves of a camera's motion (`tracking.synth.residue`), in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.data.clip_folder import clip_folders
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder
from tracking.motion.compensation import MOTIONS


@dataclass(frozen=True)
class CameraBench:
    """Measures what each camera compensation leaves, on clips of `mpr synth` (or those, tracked again)."""

    clips: Path = Path("data/microwave")  # folder of synthetic clips
    most: int = 30  # clips looked at, the first of them
    every: int = 3  # transitions looked at: every so manieth
    out: Path = Path("runs/bench_camera")  # run folder

    def __post_init__(self) -> None:
        if self.most < 1 or self.every < 1:
            raise UserError("mpr bench camera: --most and --every are at least 1")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench camera`: metrics.jsonl has a row a transition. Raises UserError."""
    config, dry_run = parse_config(CameraBench, argv, "mpr bench camera")
    if dry_run:
        return print_plan(config, {"clips": config.clips}, {"compensations": ", ".join(MOTIONS)}, config.out)
    from tracking.synth.residue import residues

    folders = clip_folders(config.clips)[: config.most]
    run = RunFolder(config.out, "bench camera", as_dict(config))
    run.keep_metrics(lambda row: False)
    rows = []
    for folder in tqdm(folders, desc="clips", unit="clip", disable=None):
        for row in residues(folder, config.every):
            run.log(**row)
            rows.append(row)
    left = np.array([[row[how] for how in MOTIONS] for row in rows]).reshape(-1, len(MOTIONS))
    if not len(left):
        raise UserError(f"mpr bench camera: no clip in {config.clips} shows object and background together")
    summary = {how: np.percentile(left[:, i], (50, 90, 99)).round(3).tolist() for i, how in enumerate(MOTIONS)}
    mean = left.mean(0).round(3).tolist()
    run.finish({"transitions": len(left), "mean": dict(zip(MOTIONS, mean, strict=True)), "p50_p90_p99": summary})
    print(f"{len(left)} transitions of {len(folders)} clips; pixels left on the object: mean, p50, p90, p99")
    for how, average in zip(MOTIONS, mean, strict=True):
        print(f"{how:<10} {average:6.3f} " + " ".join(f"{value:6.3f}" for value in summary[how]))
