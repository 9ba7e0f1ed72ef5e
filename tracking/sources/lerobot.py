"""LeRobot data sets, formats v2 and v3: one action a stretch of an episode in which one task is done.

Needs pyarrow (the extra `lerobot`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mpr.core.data.boundaries import NUMBERS, STAMPS, Boundaries
from mpr.core.errors import UserError, in_brief
from tracking.sources.action import VideoAction
from tracking.sources.lerobot_episodes import LeRobotEpisode, Stretch, Tasks, read_lerobot_episodes, version_of
from tracking.sources.lerobot_info import camera as choose_camera
from tracking.sources.lerobot_info import height_width, lerobot_licence
from tracking.sources.registry import SourcePlace
from tracking.sources.tables import load_json
from tracking.sources.video_info import VideoInfo

WRONG = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)


def source(at: SourcePlace, reasons: Counter[str]) -> Iterator[VideoAction]:
    """`lerobot_actions`, by the name in the registry."""
    return lerobot_actions(at.path, at.camera, reasons)


def lerobot_actions(root: Path, camera: str, reasons: Counter[str]) -> Iterator[VideoAction]:
    """What is done in the episodes of a data set, as `camera` (a video feature; "" where there is one) saw it.

    In v3 an episode is a stretch of a longer video file (`Stretches`); where its seconds do not agree with the rows up
    to it, that is counted in `reasons`. Raises UserError for another format, or a camera that is not there.
    """
    info = load_json(root / "meta" / "info.json")
    if not isinstance(info, dict):
        raise UserError(f"--lerobot {root}: meta/info.json is no object; is it a LeRobot data set?")
    version = version_of(root, info)
    import pyarrow  # type: ignore

    try:
        key = choose_camera(root, info["features"], camera)
        height, width = height_width(key, info["features"][key])
        rate, terms = float(info["fps"]), str(info.get("license") or lerobot_licence(root))
        if not 0 < rate < math.inf:
            raise ValueError(f"fps is {rate:g}")
        about = {"perspective": "robot's camera", "camera": key, "robot": str(info.get("robot_type") or "unknown")}
        counted, tasks = Stretches(rate, reasons), Tasks(root, reasons)
        for episode in read_lerobot_episodes(root, info, key):
            frames = _frames(episode, counted)
            name = f"{root.resolve().name}-{episode.number:06d}"
            done = tasks.stretches(episode)
            for k, stretch in enumerate(done):
                start, stop, boundaries = _part(stretch, episode, frames, rate)
                yield VideoAction(
                    dataset=root.resolve().name,
                    uid=name if len(done) == 1 else f"{name}-{k}",
                    video=episode.video,
                    start_s=start,
                    stop_s=stop,
                    boundaries=boundaries,
                    narration=stretch.task,
                    verbs=(),
                    nouns=(),
                    licence=terms,
                    group=name,
                    extra={**about, "episode": episode.number},
                    info=VideoInfo.of(None, rate, width, height),
                    unfit=stretch.unfit,
                )
    except (*WRONG, pyarrow.ArrowException) as error:
        raise UserError(f"--lerobot {root} cannot be read as format {version} ({in_brief(error)})") from error


def _frames(episode: LeRobotEpisode, counted: Stretches) -> Boundaries:
    """All frames of an episode, in its video."""
    if episode.start_s is None:
        if isinstance(episode.length, bool) or not isinstance(episode.length, int) or episode.length < 1:
            raise ValueError(f"an episode's length is {episode.length!r}")
        return Boundaries(NUMBERS, 0, episode.length, stop_included=False)
    return counted.next(episode.video, episode.start_s, episode.stop_s, episode.length)


def _part(
    stretch: Stretch, episode: LeRobotEpisode, frames: Boundaries, rate_hz: float
) -> tuple[float, float, Boundaries]:
    """Seconds and frames of a stretch of an episode."""
    begin = episode.start_s or 0.0
    start = begin + stretch.first / rate_hz
    stop = episode.stop_s if stretch.stop == episode.length else begin + stretch.stop / rate_hz
    if frames.mean == STAMPS:
        return start, stop, Boundaries(STAMPS, start, stop, stop_included=False)
    first = int(frames.start)
    return start, stop, Boundaries(NUMBERS, first + stretch.first, first + stretch.stop, stop_included=False)


class Stretches:
    """Which frames of its file each episode is, episodes coming in the order of the file.

    LeRobot writes from_timestamp as a sum of durations, each rounded on its own: an episode may begin microseconds to
    milliseconds late, and the next by as much again (huggingface/lerobot, issue 3177), until another frame is nearer
    than its own. The table's rows are not rounded. So while episodes follow on one another from the file's start, each
    as long as its rows say, to half a frame, their frames are counted; from where they do not on, the nearest stamps
    are taken. LeRobot itself looks for the nearest frame: round(timestamp x rate), from the first image on.
    """

    def __init__(self, rate_hz: float, reasons: Counter[str]) -> None:
        self.rate_hz, self.reasons = rate_hz, reasons
        self._reached: dict[object, tuple[float, int] | None] = {}  # file -> seconds and frames told so far

    def next(self, file: object, start_s: float, stop_s: float, length: int) -> Boundaries:
        """Of the episode that its rows call `length` frames long. Raises ValueError for a length that is none."""
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(f"an episode's length is {length!r}")
        half_s = 0.5 / self.rate_hz
        seconds, frames = self._reached.get(file, (0.0, 0)) or (math.inf, 0)
        as_long = abs(stop_s - start_s - length / self.rate_hz) < half_s
        if as_long and abs(start_s - seconds) < half_s:
            self._reached[file] = stop_s, frames + length
            return Boundaries(NUMBERS, frames, frames + length, stop_included=False)
        self._reached[file] = None
        self.reasons["found only by its seconds: they do not agree with the rows up to it"] += 1
        return Boundaries(STAMPS, start_s, stop_s, stop_included=False)
