"""The loop of every training run: resume at the last checkpoint, log, draw, save, show a bar, finish.

What is trained and how one unit of it goes (a step, an episode) is the trainer's, handed in as an iterator of rows. A
run that is killed at any moment, and started again, goes on at its last checkpoint and ends as an unbroken one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from mpr.core.checkpoints import last_checkpoint
from mpr.core.runs import RunFolder

UnitFigures = Mapping[str, Any]  # what a unit gave, by name: a line of metrics.jsonl but for the unit's number


def _numbers(row: UnitFigures) -> dict[str, float]:
    """The numbers of a row, as points on the board."""
    return {name: value for name, value in row.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class Fit:
    """One run's loop, of `total` units, saved after every `save_every` of them and after the last."""

    name: str  # beside the bar: "train"
    unit: Literal["step", "episode"]
    total: int
    save_every: int
    run: Path
    folder: RunFolder | None  # the run's; None in a process that only takes part, which writes and shows nothing

    def resume(self, restore: Callable[[Path], None]) -> int | None:
        """Units already done, None where there is no checkpoint (0 is one from before the first unit).

        `restore` puts everything back as it was at the checkpoint folder that it is given, or raises: BadCheckpoint,
        UserError. What was logged after the checkpoint is dropped, as it is logged again.
        """
        found = last_checkpoint(self.run)
        if found is not None:
            restore(found)
        done = None if found is None else int(found.name)
        if self.folder is not None:
            self.folder.keep_metrics(lambda row: done is not None and row[self.unit] <= done)
            if found is not None:
                print(f"resuming after {self.unit} {done} of {self.total}")
        return done

    def loop(
        self,
        done: int,
        rows: Iterable[UnitFigures],
        save: Callable[[int], None],
        finish: Callable[[], Mapping[str, Any]],
        beside: Callable[[UnitFigures], str] = lambda row: "",
        points: Callable[[UnitFigures], Mapping[str, float]] = _numbers,
        enough: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Take all `rows`, one a unit from number `done` + 1 on, then write the summary that `finish` gives. Returns
        whether the run is complete: where rows end early, it is not, and the same command goes on another time.

        `save(number)` writes the checkpoint after that many units, `beside(row)` says what stands beside the bar,
        `points(row)` what is drawn on the TensorBoard board. The run is also complete once there is `enough()`, asked
        before the first row and after each.
        """
        if self.folder is None:
            return done + sum(1 for _ in rows) >= self.total
        over = done >= self.total or enough()
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(self.run / "tensorboard"), purge_step=done + 1)  # no point is drawn twice
        with writer as board, tqdm(total=self.total, initial=done, unit=self.unit, desc=self.name) as bar:
            for row in rows if not over else ():
                done += 1
                over = done >= self.total or enough()
                self.folder.log(**{self.unit: done, **row})
                for name, value in points(row).items():
                    board.add_scalar(name, value, done)
                if done % self.save_every == 0 or over:
                    board.flush()  # a resumed run draws none of these again
                    save(done)
                bar.update()
                bar.set_postfix_str(beside(row), refresh=False)
                if over:
                    break
        if not over:
            return False
        self.folder.finish(finish())
        return True
