"""LeRobot's data set format v3.0, as pure functions: what its tables and its JSON files say. Knows no episode of ours.

Places: one table, one list of episodes, one video file a camera; LeRobot starts further files where these grow large,
and reads them however large they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE = "data/chunk-000/file-000.parquet"
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"
TASKS_FILE = "meta/tasks.parquet"
STATS = "meta/stats.json"
INFO = "meta/info.json"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
QUANTILES = (1, 10, 50, 90, 99)
ONE_FILE = {"chunk_index": 0, "file_index": 0}
TEXT = "string"

Arrays = Mapping[str, NDArray[Any]]


def numbering(episode: int, start: int, steps: int, task: int, rate: float) -> dict[str, NDArray[Any]]:
    """LeRobot's own columns [T] of an episode of T = `steps` rows, the first of which is `start`."""
    at = np.arange(steps)
    return {
        "timestamp": (at / rate).astype(np.float32),  # nominal: rows are matched with images by it
        "frame_index": at,
        "episode_index": np.full_like(at, episode),
        "index": start + at,
        "task_index": np.full_like(at, task),
    }


def episode_row(
    episode: int, task: str, start: int, stop: int, rate: float, videos: Sequence[str], sample: Arrays
) -> dict[str, Any]:
    """An episode in the list of episodes: rows start .. stop-1 of the table, and of each video."""
    row: dict[str, Any] = {"episode_index": episode, "tasks": [task], "length": stop - start}
    row |= {"dataset_from_index": start, "dataset_to_index": stop}
    for place in ("data", "meta/episodes", *(f"videos/{key}" for key in videos)):
        row |= {f"{place}/{name}": value for name, value in ONE_FILE.items()}
    for key in videos:
        row |= {f"videos/{key}/from_timestamp": start / rate, f"videos/{key}/to_timestamp": stop / rate}
    stats = all_statistics(sample)
    return row | {f"stats/{key}/{name}": value for key, found in stats.items() for name, value in found.items()}


def all_statistics(columns: Arrays) -> dict[str, dict[str, list[Any]]]:
    """Of each column but those of texts, which have none."""
    return {key: statistics(values) for key, values in columns.items() if dtype_name(values) != TEXT}


def statistics(values: NDArray[Any]) -> dict[str, list[Any]]:
    """Of a column [T] or [T, D], by dimension; of images [T, H, W, 3], by channel as [3, 1, 1], in 0 to 1."""
    images = values.ndim == 4
    flat = values.reshape(-1, 3) / 255 if images else values.reshape(len(values), -1).astype(np.float64)
    found = {"min": flat.min(0), "max": flat.max(0), "mean": flat.mean(0), "std": flat.std(0)}
    found |= {f"q{q:02d}": np.percentile(flat, q, axis=0) for q in QUANTILES}
    shaped = {name: (v.reshape(3, 1, 1) if images else v).tolist() for name, v in found.items()}
    return {**shaped, "count": [len(values)]}


def dtype_name(values: NDArray[Any]) -> str:
    """What LeRobot calls the kind of a column: texts of any length are one."""
    return TEXT if values.dtype.kind == "U" else str(values.dtype)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """What numpy calls it: the other way round."""
    return np.dtype(np.str_ if name == TEXT else name)


def feature(values: NDArray[Any]) -> dict[str, Any]:
    """How info.json describes a column of values [T] or [T, ...]."""
    return {"dtype": dtype_name(values), "shape": list(values.shape[1:]) or [1], "names": None}


def video_feature(shape: tuple[int, ...], rate: float) -> dict[str, Any]:
    """How it describes a camera of images [H, W, 3]."""
    height, width, channels = shape
    film = {"height": height, "width": width, "codec": "h264", "pix_fmt": "yuv420p", "is_depth_map": False}
    film |= {"fps": rate, "channels": channels}
    about = {f"video.{name}": value for name, value in film.items()} | {"has_audio": False}
    return {"dtype": "video", "shape": list(shape), "names": ["height", "width", "channels"], "info": about}


def info(
    features: Mapping[str, Any], rate: float, episodes: int, frames: int, tasks: int, robot: str
) -> dict[str, Any]:
    """What info.json says of a data set: how much it holds, where its files lie, which features they have."""
    return {
        "codebase_version": "v3.0",
        "robot_type": robot,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": rate,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": dict(features),
    }


def column(pyarrow: Any, values: NDArray[Any]) -> Any:
    """Vectors [T, D] as lists of fixed size, numbers [T] as they are."""
    flat = pyarrow.array(values.ravel())
    return flat if values.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])


def task_table(pyarrow: Any, tasks: Sequence[str]) -> Any:
    """As pandas would write a table whose index is the task's text: LeRobot reads it with pandas."""
    index = "__index_level_0__"
    text = {"name": None, "field_name": index, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    names = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": [index],
        "column_indexes": [{**names, "metadata": {"encoding": "UTF-8"}}],
        "columns": [{**number, "metadata": None}, text],
        "creator": {"library": "pyarrow", "version": pyarrow.__version__},
        "pandas_version": "2.2.0",
    }
    made = {"task_index": pyarrow.array(range(len(tasks)), pyarrow.int64()), index: pyarrow.array(tasks)}
    return pyarrow.table(made).replace_schema_metadata({b"pandas": json.dumps(pandas).encode()})
