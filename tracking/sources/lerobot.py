"""LeRobot data sets, format v3.0: one action an episode, its task the narration.

Needs pyarrow (the extra `lerobot`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tracking.errors import UserError
from tracking.sources.action import Action
from tracking.sources.tables import load_json
from tracking.sources.videos import VideoInfo

LICENCE = re.compile(r"^license:\s*[\"']?([^\"'\n]+?)[\"']?\s*$", re.MULTILINE)


def actions(root: Path, camera: str, reasons: Counter[str]) -> Iterator[Action]:
    """The episodes of a data set, as `camera` (a video feature; "" where there is one) saw them.

    An episode is a stretch of a longer video file; it stops half a frame after its last frame, before the next
    episode's first. `reasons` is left as it is. Raises UserError for another format, or a camera that is not there.
    """
    info = load_json(root / "meta" / "info.json")
    version = str(info.get("codebase_version", "?")) if isinstance(info, dict) else "?"
    if not version.startswith("v3"):
        raise UserError(f"--lerobot {root} has format {version}; v3 is read here, and lerobot itself converts to it")
    import pyarrow  # type: ignore
    import pyarrow.parquet as parquet  # type: ignore

    try:
        key = _camera(root, info["features"], camera)
        height, width = info["features"][key]["shape"][:2]
        rate, licence = float(info["fps"]), str(info.get("license") or _licence(root))
        place = f"videos/{key}"
        about = {"perspective": "robot's camera", "camera": key, "robot": str(info.get("robot_type") or "unknown")}
        columns = [f"{place}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
        files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
        if not files:
            raise UserError(f"--lerobot {root}: no episodes (meta/episodes/chunk-000/file-000.parquet); is it whole?")
        for file in files:
            for row in parquet.read_table(file, columns=["episode_index", "tasks", *columns]).to_pylist():
                chunk, number, start, stop = (row[name] for name in columns)
                name = f"{root.resolve().name}-{row['episode_index']:06d}"
                yield Action(
                    dataset=root.resolve().name,
                    uid=name,
                    video=root / info["video_path"].format(video_key=key, chunk_index=chunk, file_index=number),
                    start_s=float(start),
                    stop_s=float(stop) - 0.5 / rate,
                    narration="; ".join(row["tasks"]),
                    verbs=(),
                    nouns=(),
                    licence=licence,
                    group=name,
                    extra={**about, "episode": row["episode_index"]},
                    info=VideoInfo.told(None, rate, width, height),
                )
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        OSError,
        pyarrow.ArrowException,
    ) as error:
        raise UserError(f"--lerobot {root} cannot be read as format v3.0 ({error})") from error


def _camera(root: Path, features: Mapping[str, Any], asked: str) -> str:
    cameras = [name for name, feature in features.items() if feature["dtype"] == "video"]
    if asked in cameras or (not asked and len(cameras) == 1):
        return asked or cameras[0]
    there = ", ".join(cameras) or "none (pictures kept one by one are not read)"
    raise UserError(f"--lerobot {root}: choose a --camera; the video features are {there}")


def _licence(root: Path) -> str:
    """As the head of the data set's README says it."""
    readme = root / "README.md"
    found = LICENCE.search(readme.read_text(errors="replace")) if readme.is_file() else None
    return found[1] if found else "unknown"
