"""Recorded episodes as a LeRobot data set, format v3.0, and back. Needs pyarrow (the extra `lerobot`), not lerobot.

LeRobot keeps T observations beside T actions, and counts time as frame_index / fps. So the last state and image of an
episode, which no action followed, stay behind; and the measured times are a column of their own, `observation.time`:
seconds since the episode's first observation, float64, of which LeRobot makes float32. (Its policies take their state
only from `observation.state`.) Other columns have names of their own, `base_action` and not `action.base`: what begins
with `action` LeRobot gives its policies to predict. `next.reward`, `next.done`, `next.success` and `intervention` are
its own (0.6.2: constants.py, rollout/context.py). How an episode ended and what it tells about itself lie as JSON in
the column `about` of the list of episodes. All episodes share one table and one video file a camera, encoded anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.boundaries import STAMPS, Boundaries, frames_of
from mpr.core.data.clip import FrameSource, FrameWindow
from mpr.core.data.episode import OPTIONAL, Episode
from mpr.core.data.video import VideoFrames, write_video
from mpr.core.errors import UserError
from mpr.core.runs import atomic_folder
from robot.recording import lerobot_format as v3
from robot.recording.flags import flags
from robot.recording.recorder import close_videos

IMAGES_PREFIX = "observation.images."
_NEAR = 0.005  # rates this near are one: 30 and 29.97
AS_ASKED = 0.02  # a loop that was asked for a rate, and is this late, keeps it
ROUND_HZ = (0.5, 0.25, 0.1, 0.01)
_LOOKED_AT = 32  # images an episode, and every fourth pixel of them: statistics of images are a sample
NOTE = """---
license: unknown
tags: [LeRobot]
---
Episodes recorded on a robot arm. `timestamp` is nominal (frame_index / fps); `observation.time` holds the measured
seconds since the episode's first observation. `action` is what was really sent; `base_action` and `residual_action`,
where there are such, are what it was made of. `next.reward`, where all episodes were paid, is what each step was paid.
`intervention`: a hand had taken over from the policy. `mark`: what the operator said of the whole episode, empty where
time was up or a fault ended it. `unsent`: the arm was held instead. `idle`: the operator asked for
nothing. `gap`: the step took longer than 1.5 usual ones. `stale`: an image of this observation was too old. Each
episode's last observation, which no action followed, is left out. The column `about` of meta/episodes holds, as JSON,
how an episode ended and what else is known of it: faults; and, under `log`, when each image was taken, what was late,
what held the arm.
"""


def all_paid(episodes: Sequence[Episode]) -> bool:
    """Whether there is a reward of each step of each: a data set has a column for all its episodes, or for none."""
    return all(episode.log.reward is not None for episode in episodes)


def lerobot_columns(episode: Episode, paid: bool = False) -> dict[str, NDArray[Any]]:
    """What the data set holds of an episode but for images and numbering: arrays [T] or [T, D] by name.

    `paid`: with its rewards, which it has.
    """
    parts = {name.removesuffix("s"): episode.arrays[name] for name in OPTIONAL if name in episode.arrays}
    last = np.arange(len(episode)) == len(episode) - 1
    rewards = {"next.reward": np.asarray(episode.log.reward, np.float32)} if paid else {}
    return {
        "observation.state": episode.states[:-1].astype(np.float32),
        "observation.time": episode.times[:-1] - episode.times[0],
        "action": episode.executed_actions.astype(np.float32),
        **{name: actions.astype(np.float32) for name, actions in parts.items()},
        **{name: values[: len(episode)] for name, values in flags(episode).items()},
        **rewards,
        "next.done": last & (episode.terminated or episode.truncated),
        "next.success": last & episode.success,
        "mark": np.full(len(episode), str(episode.about.get("mark", ""))),
    }


def lerobot_images(episode: Episode) -> dict[str, FrameSource]:
    """Its T images of each camera, under the data set's names."""
    return {IMAGES_PREFIX + camera: FrameWindow(f, 0, len(episode)) for camera, f in sorted(episode.frames.items())}


def nominal_rate(episodes: Sequence[Episode]) -> float:
    """The rate in hertz that LeRobot's stamps count by.

    It is the rate at which the steps were asked for, where the median measured period agrees with it, else the roundest
    one near that. Whole hertz are an int: 10, but 12.5.
    """
    periods = np.concatenate([np.diff(episode.times) for episode in episodes])
    period_s = float(np.median(periods))
    spread = 1.4826 * float(np.median(np.abs(periods - period_s))) / period_s
    near = max(_NEAR, 3 * 1.2533 * spread / np.sqrt(len(periods)))  # three standard errors of the median
    asked = [episode.rate_hz for episode in episodes]
    told = [rate for rate in asked[:1] if rate and all(other == rate for other in asked)]
    rounded = [step * max(1, round(1 / period_s / step)) for step in ROUND_HZ]
    likely = [(rate, max(near, AS_ASKED)) for rate in told] + [(rate, near) for rate in rounded]
    rate = next((float(rate) for rate, by in likely if abs(rate * period_s - 1) <= by), round(1 / period_s, 3))
    return int(rate) if rate.is_integer() else rate


def write_lerobot(episodes: Sequence[Episode], root: Path) -> None:
    """Write the data set `root`, whole or not at all. Columns and images are of one shape in all episodes.

    Raises UserError for a single step.
    """
    pyarrow, parquet = _arrow()
    rate, tasks, paid = nominal_rate(episodes), sorted({_task(episode) for episode in episodes}), all_paid(episodes)
    sizes = {key: frames[0].shape for key, frames in lerobot_images(episodes[0]).items()}
    tables: list[dict[str, NDArray[Any]]] = []
    samples: list[dict[str, NDArray[Any]]] = []
    rows, total = [], 0
    for number, episode in enumerate(episodes):
        start, total = total, total + len(episode)
        own = v3.numbering(number, start, len(episode), tasks.index(_task(episode)), rate)
        tables.append({**lerobot_columns(episode, paid), **own})
        samples.append({**tables[-1], **{key: _sample(frames) for key, frames in lerobot_images(episode).items()}})
        row = v3.episode_row(number, _task(episode), start, total, rate, list(sizes), samples[-1])
        rows.append(row | {"about": json.dumps(_about(episode))})
        close_videos(episode)
    if total < 2:
        raise UserError("one step is no data set: LeRobot's needs two at least")
    whole = {key: np.concatenate([sample[key] for sample in samples]) for key in samples[0]}
    with atomic_folder(Path(root)) as folder:
        for name in (v3.TABLE, v3.EPISODES_FILE):
            (folder / name).parent.mkdir(parents=True)
        parquet.write_table(pyarrow.table({k: v3.column(pyarrow, whole[k]) for k in tables[0]}), folder / v3.TABLE)
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / v3.EPISODES_FILE)
        parquet.write_table(v3.task_table(pyarrow, tasks), folder / v3.TASKS_FILE)
        for key in sizes:
            file = folder / v3.VIDEO_PATH.format(video_key=key, **v3.ONE_FILE)
            file.parent.mkdir(parents=True)
            write_video(file, _all_images(episodes, key), np.arange(total) / rate)
        features = {key: v3.feature(values) for key, values in tables[0].items()}
        features |= {key: v3.video_feature(shape, rate) for key, shape in sizes.items()}
        robot = str(episodes[0].about.get("arm", "franka"))
        about = v3.info(features, rate, len(rows), total, len(tasks), robot)
        (folder / v3.INFO).write_text(json.dumps(about, indent=2))
        (folder / v3.STATS).write_text(json.dumps(v3.all_statistics(whole), indent=2))
        (folder / "README.md").write_text(NOTE)


def read_lerobot(root: Path) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, FrameSource]]]:
    """What a data set that `write_lerobot` wrote holds of each episode: columns, and images by their feature's name.

    Columns are [T] or [T, D]. Raises KeyError, ValueError, OSError or pyarrow's errors where it is none.
    """
    _, parquet = _arrow()
    about = json.loads((root / v3.INFO).read_text())
    features, table = about["features"], parquet.read_table(root / v3.TABLE)
    videos = {
        key: VideoFrames(root / about["video_path"].format(video_key=key, **v3.ONE_FILE))
        for key, feature in features.items()
        if feature["dtype"] == "video"
    }
    dtypes = {name: v3.numpy_dtype(features[name]["dtype"]) for name in table.column_names}
    for row in parquet.read_table(root / v3.EPISODES_FILE).to_pylist():
        start, steps = row["dataset_from_index"], row["length"]
        found = table.slice(start, steps)
        arrays = {name: np.array(found[name].to_pylist(), dtypes[name]) for name in found.column_names}
        frames: dict[str, FrameSource] = {}
        for key, video in videos.items():
            start, stop = (row[f"videos/{key}/{name}_timestamp"] for name in ("from", "to"))
            place = frames_of(video.times, start, stop, Boundaries(STAMPS, start, stop, stop_included=False))
            frames[key] = FrameWindow(video, place.start, place.stop)
        yield arrays, frames


def _arrow() -> tuple[Any, Any]:
    import pyarrow  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]

    return pyarrow, parquet


def _task(episode: Episode) -> str:
    return episode.task or "unnamed"


def _about(episode: Episode) -> dict[str, Any]:
    """What no column holds, as JSON: how it ended, its seed and rate, its log."""
    more = {name: getattr(episode, name) for name in ("terminated", "truncated", "seed", "task", "rate_hz")}
    log = {name: values.tolist() for name, values in episode.log.arrays.items()}
    return {**episode.about, **more, "log": log}


def _all_images(episodes: Sequence[Episode], key: str) -> Iterator[NDArray[np.uint8]]:
    for episode in episodes:
        frames = lerobot_images(episode)[key]
        yield from (frames[t] for t in range(len(frames)))
        close_videos(episode)


def _sample(frames: FrameSource) -> NDArray[np.uint8]:
    """[images, H/4, W/4, 3]"""
    at = np.unique(np.linspace(0, len(frames) - 1, _LOOKED_AT).astype(int))
    return np.stack([frames[int(t)][::4, ::4] for t in at])
