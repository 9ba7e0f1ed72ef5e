"""The episodes of a LeRobot data set, formats v2.0, v2.1 and v3.0: where each lies, and what is done when in it.

Tasks belong to frames, not to episodes: column `task_index` of the tables in data/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.video import is_there
from mpr.core.errors import UserError
from tracking.sources.tables import table_rows

DATA_V3 = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


class LeRobotEpisode(NamedTuple):
    """As the list of episodes has it."""

    number: int
    tasks: tuple[str, ...]  # all that are done in it
    length: int  # frames
    video: Path
    start_s: float | None  # of its video; None: it has a video of its own
    stop_s: float
    data: Path  # the table of its frames


class Stretch(NamedTuple):
    """Frames first .. stop-1 of an episode, in which one task is done."""

    first: int
    stop: int
    task: str
    unfit: str = ""


def version_of(root: Path, info: Mapping[str, Any]) -> str:
    """v2.1 or the like. Raises UserError for a format that is not read here."""
    version = str(info.get("codebase_version", "?"))
    if not version.startswith(("v2", "v3")):
        raise UserError(f"--lerobot {root} has format {version}; v2 and v3 are read here, and lerobot converts to v3")
    return version


def read_lerobot_episodes(root: Path, info: Mapping[str, Any], camera: str) -> Iterator[LeRobotEpisode]:
    """The episodes of a LeRobot data set, in their order.

    Raises UserError for another format, or none; KeyError, ValueError and pyarrow's errors where the list is not what
    it says.
    """
    return (_episodes_v3 if version_of(root, info).startswith("v3") else _episodes_v2)(root, info, camera)


def _episodes_v3(root: Path, info: Mapping[str, Any], camera: str) -> Iterator[LeRobotEpisode]:
    import pyarrow.parquet as parquet  # type: ignore

    files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise UserError(f"--lerobot {root}: no episodes (meta/episodes/chunk-000/file-000.parquet); is it whole?")
    place = [f"videos/{camera}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
    where = ["data/chunk_index", "data/file_index"]
    for file in files:
        there = [name for name in where if name in parquet.read_schema(file).names]
        for row in parquet.read_table(file, columns=["episode_index", "tasks", "length", *place, *there]).to_pylist():
            chunk, number, start, stop = (row[name] for name in place)
            data = dict(zip(("chunk_index", "file_index"), (row.get(name) or 0 for name in where), strict=True))
            yield LeRobotEpisode(
                row["episode_index"],
                tuple(row["tasks"]),
                row["length"],
                root / info["video_path"].format(video_key=camera, chunk_index=chunk, file_index=number),
                float(start),
                float(stop),
                root / str(info.get("data_path") or DATA_V3).format(**data),
            )


def _episodes_v2(root: Path, info: Mapping[str, Any], camera: str) -> Iterator[LeRobotEpisode]:
    listed = root / "meta" / "episodes.jsonl"
    if not listed.is_file():
        raise UserError(
            f"--lerobot {root} has format {version_of(root, info)}, and no {listed.relative_to(root)}; is it whole?"
        )
    for _, row in table_rows(listed):
        number = row["episode_index"]
        place = {"episode_chunk": number // int(info.get("chunks_size", 1000)), "episode_index": number}
        yield LeRobotEpisode(
            number,
            tuple(row["tasks"]),
            row["length"],
            root / info["video_path"].format(video_key=camera, **place),
            None,
            row["length"] / float(info["fps"]),
            root / info["data_path"].format(**place),
        )


class Tasks:
    """What is done in a data set's episodes, frame by frame."""

    def __init__(self, root: Path, reasons: Counter[str]) -> None:
        self.root, self.reasons = root, reasons
        self._texts: dict[int, str] = {}  # by the task's number
        self._file: tuple[Path, dict[int, NDArray[np.int64]]] | None = None  # episodes come in the order of the files

    def stretches(self, episode: LeRobotEpisode) -> list[Stretch]:
        """One task after the other; the frames of an episode with a single task need not be looked at.

        Where nothing tells when each of several tasks is done, the episode is one stretch, counted in `reasons`.
        """
        whole = Stretch(0, episode.length, "; ".join(episode.tasks))
        if len(episode.tasks) == 1:
            return [whole]
        table = episode.data.relative_to(self.root)
        if not is_there(episode.data):
            which = "of several tasks" if episode.tasks else "of no task listed"
            self.reasons[f"{which}, taken whole: {table}, which tells when each is done, is not there"] += 1
            return [whole]
        if self._file is None or self._file[0] != episode.data:
            self._file = episode.data, _tasks_by_frame(episode.data)
        tasks = self._file[1].get(episode.number, np.empty(0, np.int64))
        if len(tasks) != episode.length:
            which = "several tasks" if episode.tasks else "no task listed"
            return [whole._replace(unfit=f"{which}, and {table} holds more or fewer frames of it than listed")]
        self._texts = self._texts or _texts(self.root)
        if unknown := sorted({*tasks.tolist()} - self._texts.keys()):
            return [whole._replace(unfit=f"{table} says task_index {unknown[0]}, which meta/tasks does not list")]
        edges = [0, *(np.flatnonzero(np.diff(tasks)) + 1).tolist(), len(tasks)]
        return [Stretch(a, b, self._texts[int(tasks[a])]) for a, b in pairwise(edges)]


def _tasks_by_frame(file: Path) -> dict[int, NDArray[np.int64]]:
    """Episode -> the task's number at each of its frames."""
    import pyarrow.parquet as parquet  # type: ignore

    table = parquet.read_table(file, columns=["episode_index", "frame_index", "task_index"])
    episode, frame, task = (table[name].to_numpy() for name in ("episode_index", "frame_index", "task_index"))
    order = np.lexsort((frame, episode))
    numbers, begins = np.unique(episode[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(task[order], begins[1:]), strict=True))


def _texts(root: Path) -> dict[int, str]:
    """Number -> text: of meta/tasks.parquet, where the text is the index of a pandas table, or meta/tasks.jsonl."""
    if (older := root / "meta" / "tasks.jsonl").is_file():
        return {int(row["task_index"]): str(row["task"]) for _, row in table_rows(older)}
    import pyarrow.parquet as parquet  # type: ignore

    file = root / "meta" / "tasks.parquet"
    if not file.is_file():
        raise UserError(f"--lerobot {root}: meta/tasks.parquet, which says what each task is, is not there")
    table = parquet.read_table(file)
    text = next(name for name in table.column_names if name != "task_index")
    return dict(zip(table["task_index"].to_pylist(), map(str, table[text].to_pylist()), strict=True))
