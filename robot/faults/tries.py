"""The campaign of `mpr robot faults`: every case tried, and its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder, write_atomic
from robot.faults.campaign import as_row, run_case
from robot.faults.catalogue import Case, catalogue
from robot.faults.command import FaultsConfig
from robot.faults.processes import ProcessCase, process_catalogue
from robot.faults.tables import FaultRow, tables


def inject_case(config: FaultsConfig, sessions: Sequence[Case], processes: Sequence[ProcessCase]) -> None:
    """Try what is chosen. Raises UserError where a limit was broken, an episode lost, or a fault not named."""
    run = RunFolder(config.out, "robot faults", as_dict(config), ("out", "workers"))
    run.keep_metrics(lambda row: not row.get("not_run"))  # another machine may be able to
    done = {row["case"] for row in run.metrics()}
    todo = [case for case in sessions if case.name not in done], [case for case in processes if case.name not in done]
    for row in tqdm(tries(config, *todo), total=sum(map(len, todo)), unit="fault", desc="faults"):
        run.log(**row)
    _report(run)


def chosen(config: FaultsConfig) -> tuple[list[Case], list[ProcessCase]]:
    """Raises UserError where there is no such case."""
    sessions = [case for case in catalogue() if config.only in case.name]
    processes = [case for case in process_catalogue() if config.only in case.name and config.processes]
    if not sessions and not processes:
        raise UserError(f"--only {config.only}: no fault's name holds this; a name is '{next(catalogue()).name}'")
    return sessions, processes


def tries(config: FaultsConfig, sessions: Sequence[Case], processes: Sequence[ProcessCase]) -> Iterator[FaultRow]:
    """A row a case, as they come."""
    try_one = partial(run_case, config=config.station)
    in_step, on_the_wall = ([case for case in sessions if case.on_the_wall is wall] for wall in (False, True))
    for one in mapped(try_one, in_step, config.workers, fresh=False):
        yield {"what": "session", **as_row(one)}
    for one in map(try_one, on_the_wall):
        yield {"what": "session", **as_row(one)}
    for case in processes:
        yield {"what": "process", **case.tried(config.out / "processes").as_row()}


def _report(run: RunFolder) -> None:
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
