"""`mpr robot faults`: the campaign, and its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

from tqdm import tqdm

from mpr.core.config import as_dict, parse, print_plan
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder, write_atomic
from robot.faults.campaign import SIZE, as_row, tried
from robot.faults.catalogue import Case, catalogue
from robot.faults.processes import ProcessCase, process_catalogue
from robot.faults.tables import Row, tables
from robot.safety.limits import Limits
from robot.station import StationConfig


@dataclass(frozen=True)
class FaultsConfig:
    """Inject faults into sessions on the simulated arm, and tell what became of each."""

    size: int = SIZE  # pixels: side of the cameras' pictures
    seed: int = 0  # of the first episode
    limits: Limits = field(default_factory=Limits)  # of the guard: --limits.step and the like; none: the twin's own box
    task: str = "microwave"  # that the simulated arm stands before
    only: str = ""  # cases whose name holds this
    processes: bool = True  # also those of the process and its disk: minutes
    workers: int = 1  # processes that try cases; those on the wall's clock have the machine to themselves
    out: Path = Path("runs/robot_faults")  # run folder

    def __post_init__(self) -> None:
        _ = self.station  # refused now
        if self.workers < 1:
            raise UserError(f"--workers {self.workers}: at least 1")

    def resolved(self) -> Self:
        """With the limits of the simulated arm's own box, where none was asked for."""
        return replace(self, limits=self.station.limits)

    @property
    def station(self) -> StationConfig:
        """Raises UserError for settings of none."""
        return StationConfig(size=self.size, seed=self.seed, limits=self.limits, task=self.task).resolved()


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot faults`. Raises UserError where a limit was broken, an episode lost, or a fault not named."""
    config, dry_run = parse(FaultsConfig, argv, "mpr robot faults")
    sessions, processes = chosen(config)
    if dry_run:
        facts = {"faults of sessions": len(sessions), "faults of the process and its disk": len(processes)}
        return print_plan(config, {}, facts, config.out)
    run = RunFolder(config.out, "robot faults", as_dict(config), ("out", "workers"))
    run.keep_metrics(lambda row: not row.get("not_run"))  # another machine may be able to
    done = {row["case"] for row in run.metrics()}
    todo = [case for case in sessions if case.name not in done], [case for case in processes if case.name not in done]
    for row in tqdm(tries(config, *todo), total=sum(map(len, todo)), unit="fault", desc="faults"):
        run.log(**row)
    report(run)


def chosen(config: FaultsConfig) -> tuple[list[Case], list[ProcessCase]]:
    """Raises UserError where there is no such case."""
    sessions = [case for case in catalogue() if config.only in case.name]
    processes = [case for case in process_catalogue() if config.only in case.name and config.processes]
    if not sessions and not processes:
        raise UserError(f"--only {config.only}: no fault's name holds this; a name is '{next(catalogue()).name}'")
    return sessions, processes


def tries(config: FaultsConfig, sessions: Sequence[Case], processes: Sequence[ProcessCase]) -> Iterator[Row]:
    """A row a case, as they come."""
    try_one = partial(tried, config=config.station)
    in_step, on_the_wall = ([case for case in sessions if case.on_the_wall is wall] for wall in (False, True))
    for one in mapped(try_one, in_step, config.workers, fresh=False):
        yield {"what": "session", **as_row(one)}
    for one in map(try_one, on_the_wall):
        yield {"what": "session", **as_row(one)}
    for case in processes:
        yield {"what": "process", **case.tried(config.out / "processes").as_row()}


def report(run: RunFolder) -> None:
    """Write the campaign's table and close its run; UserError where a fault ended badly."""
    rows = run.metrics()
    bad = [row for row in rows if row["bad"]]
    told = "\n".join(tables(rows))
    write_atomic(run.path / "table.md", told + "\n")
    commands = sum(row.get("commands", 0) for row in rows)
    not_run = {row["case"]: row["not_run"] for row in rows if row.get("not_run")}
    reasons = Counter(why for row in bad for why in row["bad"])
    run.finish({"faults": len(rows) - len(not_run), "commands": commands, "bad": dict(reasons), "not_run": not_run})
    print(told)
    if bad:
        raise UserError(f"{len(bad)} of {len(rows)} faults ended badly: {run.path / 'table.md'}")
