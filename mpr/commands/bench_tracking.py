"""`mpr bench tracking`: point trackers, and masks that need no weights, against the truth that a simulator knows.

It is `mpr.commands.tracking_accuracy` that measures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder, write_atomic
from tracking.trackers.registry import LUCAS_KANADE, TRACKERS, make_tracker


@dataclass(frozen=True)
class TrackingBench:
    """Measures point trackers and box masks against exact ones, on synthetic clips and kitchen episodes."""

    recordings: list[Path] = field(default_factory=lambda: [Path("data/microwave")])  # folders of clips or episodes
    most: int = 20  # of each folder, the first of them
    trackers: list[str] = field(default_factory=lambda: [LUCAS_KANADE])  # by name
    weights: Path | None = None  # CoTracker's .pth file
    device: str = "auto"  # of CoTracker: auto, cpu, cuda
    masks: bool = True  # masks too
    out: Path = Path("runs/bench_tracking")  # run folder

    def __post_init__(self) -> None:
        for name in self.trackers:
            TRACKERS.check(name)
        if self.most < 1:
            raise UserError("mpr bench tracking: --most is at least 1")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench tracking`: metrics.jsonl has a row a clip and tracker, and one of its masks."""
    config, dry_run = parse_config(TrackingBench, argv, "mpr bench tracking")
    if dry_run:
        inputs = {f"recordings {i}": folder for i, folder in enumerate(config.recordings)}
        return print_plan(config, inputs, {"trackers": ", ".join(config.trackers)}, config.out)
    from mpr.commands.tracking_accuracy import accuracy_table, measure_trackers, recorded

    folders = {root: recorded(root)[: config.most] for root in config.recordings}
    trackers = {name: make_tracker(name, config.weights, config.device) for name in config.trackers}
    run = RunFolder(config.out, "bench tracking", as_dict(config), ("out", "device"))
    wanted = {*config.trackers, *(["masks"] if config.masks else [])}
    there: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in run.metrics():
        there[row["set"], row["clip"]].add(row["what"])
    done = {clip for clip, found in there.items() if found == wanted}
    run.keep_metrics(lambda row: (row["set"], row["clip"]) in done)
    todo = [(root, folder) for root, some in folders.items() for folder in some if (str(root), folder.name) not in done]
    for root, folder in tqdm(todo, desc="clips", unit="clip", disable=None):
        for row in measure_trackers(folder, trackers, config.masks):
            run.log(set=str(root), clip=folder.name, **row)
    lines = accuracy_table(list(run.metrics()))
    write_atomic(run.path / "table.md", "\n".join(lines) + "\n")
    run.finish({"clips": {str(root): len(some) for root, some in folders.items()}})
    print("\n".join(lines))
