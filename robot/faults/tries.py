"""The campaign of `mpr robot faults`: every case tried, and its table."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder, write_atomic
from robot.faults.campaign import as_row, run_case
from robot.faults.catalogue import Case, catalogue
from robot.faults.command import FaultsConfig
from robot.faults.learning import LearningCase, learning_catalogue, run_learning
from robot.faults.processes import ProcessCase, process_catalogue
from robot.faults.tables import FaultRow, tables


@dataclass(frozen=True)
class AskedFaults:
    """What a campaign is to try."""

    sessions: Sequence[Case]
    processes: Sequence[ProcessCase]
    learning: Sequence[tuple[LearningCase, ...]]  # those of one session together

    def without(self, done: Collection[str]) -> AskedFaults:
        """What is left. Of a session that learns all is tried again, or nothing."""
        sessions = [case for case in self.sessions if case.name not in done]
        processes = [case for case in self.processes if case.name not in done]
        return AskedFaults(sessions, processes, [some for some in self.learning if some[-1].name not in done])

    def __len__(self) -> int:
        return len(self.sessions) + len(self.processes) + sum(map(len, self.learning))


def inject_case(config: FaultsConfig, asked: AskedFaults) -> None:
    """Try what is chosen. Raises UserError where a limit was broken, an episode lost, or a fault not named."""
    run = RunFolder(config.out, "robot faults", as_dict(config), ("out", "workers"))
    run.keep_metrics(lambda row: not row.get("not_run"))  # another machine may be able to
    done = {row["case"] for row in run.metrics()}
    todo = asked.without(done)
    for row in tqdm(tries(config, todo), total=len(todo), unit="fault", desc="faults"):
        run.log(**row)
    _report(run)


def chosen(config: FaultsConfig) -> AskedFaults:
    """Raises UserError where there is no such case."""
    sessions = [case for case in catalogue() if config.only in case.name]
    processes = [case for case in process_catalogue() if config.only in case.name and config.processes]
    together = [tuple(case for case in some if config.only in case.name) for some in learning_catalogue()]
    learning = [some for some in together if some and config.learning]
    if not sessions and not processes and not learning:
        raise UserError(f"--only {config.only}: no fault's name holds this; a name is '{next(catalogue()).name}'")
    return AskedFaults(sessions, processes, learning)


def tries(config: FaultsConfig, asked: AskedFaults) -> Iterator[FaultRow]:
    """A row a case, as they come; those of a session that learns when it has ended."""
    try_one = partial(run_case, config=config.station)
    in_step, on_the_wall = ([case for case in asked.sessions if case.on_the_wall is wall] for wall in (False, True))
    for one in mapped(try_one, in_step, config.workers, fresh=False):
        yield {"what": "session", **as_row(one)}
    for one in map(try_one, on_the_wall):
        yield {"what": "session", **as_row(one)}
    for case in asked.processes:
        yield {"what": "process", **case.tried(config.out / "processes").as_row()}
    learn = partial(run_learning, size=config.size, seed=config.seed)
    for some in asked.learning:
        with tempfile.TemporaryDirectory(prefix="faults_") as folder:
            yield from [{"what": "session", **as_row(one)} for one in learn(some, Path(folder) / "session")]


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
