"""`mpr synth`: makes synthetic clips into one run folder, over local processes, and its data card.

A finished clip folder is kept; the same command, or one that asks for more clips, makes the missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.data.clip_folder import save_clip, stands
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder
from tracking.synth.names import SYNTH_KINDS, SYNTH_TASKS

BYTES_PER_CLIP = 350_000  # about


@dataclass(frozen=True)
class Synth:
    """Make synthetic egocentric clips of a hand opening procedurally varied appliances, with exact tracks."""

    task: str = "open_microwave"  # open_microwave, open_hinge_cabinet or open_slide_cabinet
    clips: int = 100  # clips in the folder when done
    seed: int = 10_000  # seed of the first clip; clip i has seed + i, and each seed is another appliance
    kind: str = "open"  # open; close and miss are for tests only
    rate_hz: float = 12.5  # frames a second
    workers: int = 1  # processes; any number gives the same bytes
    out: Path = Path("runs/synth")  # run folder

    def __post_init__(self) -> None:
        for value, allowed, name in ((self.task, SYNTH_TASKS, "task"), (self.kind, SYNTH_KINDS, "kind")):
            if value not in allowed:
                raise UserError(f"--{name} {value}: there is {', '.join(allowed)}")
        if not 1 <= self.clips <= 1_000_000:
            raise UserError(f"--clips {str(self.clips)[:20]}: 1 to 1,000,000")
        if self.workers < 1 or self.seed < 0:
            raise UserError("--workers must be at least 1, --seed at least 0")
        if not 2 <= self.rate_hz <= 120:
            raise UserError(f"--rate_hz {self.rate_hz}: 2 to 120 frames a second")


def folder_of(out: Path, task: str, kind: str, seed: int) -> Path:
    """The clip folder of a seed."""
    return out / f"{task}-{kind}-{seed:07d}"


def make_clip(job: tuple[str, str, int, float, Path]) -> Path:
    """Make one clip folder; what a worker does."""
    from tracking.synth.clip import synthesise

    task, kind, seed, rate_hz, out = job
    folder = folder_of(out, task, kind, seed)
    clip, recording = synthesise(task, kind, seed, rate_hz)
    save_clip(clip, folder, recording)
    return folder


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr synth`."""
    config, dry_run = parse_config(Synth, argv, "mpr synth")
    seeds = range(config.seed, config.seed + config.clips)
    folders = [folder_of(config.out, config.task, config.kind, s) for s in seeds]
    missing = [s for s, f in zip(seeds, folders, strict=True) if not stands(f)]
    if dry_run:
        facts = {"clips to make": len(missing), "clips there": config.clips - len(missing)}
        disk = f"{len(missing) * BYTES_PER_CLIP / 1e6:.0f} MB"
        print_plan(config, {}, {**facts, "disk needed, about": disk}, config.out)
        return
    run = RunFolder(config.out, "synth", as_dict(config), free=("out", "clips", "workers"))
    make_all([(config.task, config.kind, s, config.rate_hz, config.out) for s in missing], config.workers)
    from tracking.synth.datacard import write_card

    run.finish(write_card(config.out, folders))


def make_all(jobs: list[tuple[str, str, int, float, Path]], workers: int) -> None:
    """Run the jobs here or over processes, with progress, rate and estimate."""
    from tqdm import tqdm

    with tqdm(total=len(jobs), unit="clip", smoothing=0.05, disable=not jobs) as bar:
        for _ in mapped(make_clip, jobs, workers, fresh=False):
            bar.update()
