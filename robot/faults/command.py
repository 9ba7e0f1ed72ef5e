"""`mpr robot faults`: the campaign, and its table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from robot.faults.campaign import SIZE, as_row, table, tried
from robot.faults.catalogue import catalogue
from robot.faults.processes import full, killed, process_table, torn
from robot.station import StationConfig
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.processes import mapped
from tracking.runs import RunFolder, write_atomic


@dataclass(frozen=True)
class FaultsConfig(StationConfig):
    """Inject faults into sessions on the simulated arm, and tell what became of each."""

    size: int = SIZE
    only: str = ""  # cases whose name holds this
    processes: bool = True  # also those of the process and its disk: minutes
    workers: int = 1  # processes that try cases
    out: Path = Path("runs/robot_faults")  # run folder

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.arm != "simulated":
            raise UserError("mpr robot faults: faults are injected beside the simulated arm alone")
        if self.workers < 1:
            raise UserError(f"--workers {self.workers}: at least 1")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot faults`. Raises UserError where a limit was broken, an episode lost, or a fault not named."""
    config, dry_run = parse(FaultsConfig, argv, "mpr robot faults")
    cases = [case for case in catalogue() if config.only in case.name]
    if dry_run:
        return print_plan(config, {}, {"faults of arm, cameras and policy": len(cases)}, config.out)
    run = RunFolder(config.out, "robot faults", as_dict(config), ("out", "workers"))
    done = {row["case"] for row in run.metrics()}
    todo = [case for case in cases if case.name not in done]
    station = StationConfig(size=config.size, seed=config.seed, limits=config.limits, task=config.task)
    with tqdm(total=len(cases), initial=len(cases) - len(todo), unit="fault", desc="faults") as bar:
        for one in mapped(partial(tried, config=station), todo, config.workers, fresh=False):
            run.log(what="session", **as_row(one))
            bar.update()
    if config.processes and not any(row["what"] == "process" for row in run.metrics()):
        found = tqdm(chain(killed(run.path / "killed"), full(run.path / "full"), torn(run.path / "torn")), unit="fault")
        rows = [{**dataclasses.asdict(one), "bad": one.bad} for one in found if config.only in one.case]
        for row in rows:
            run.log(what="process", **row)
    report(run)


def report(run: RunFolder) -> None:
    rows = run.metrics()
    sessions = [row for row in rows if row["what"] == "session"]
    processes = [row for row in rows if row["what"] == "process"]
    bad = [row for row in rows if row["bad"]]
    commands = sum(row["commands"] for row in sessions)
    told = [
        f"# {len(rows)} faults: {len(bad)} bad",
        "",
        f"{len(sessions)} in sessions of two episodes ({commands:,} commands sent), {len(processes)} of processes.",
        "",
        *table(sessions),
        "",
        *process_table(processes),
        "",
        *[f"- {row['case']}: {', '.join(row['bad'])} {row.get('error') or row.get('broken') or ''}" for row in bad],
    ]
    write_atomic(run.path / "table.md", "\n".join(told) + "\n")
    reasons = Counter(why for row in bad for why in row["bad"])
    run.finish({"faults": len(rows), "commands": commands, "bad": dict(reasons)})
    print("\n".join(told))
    if bad:
        raise UserError(f"{len(bad)} of {len(rows)} faults ended badly: {run.path / 'table.md'}")
