"""What `mpr robot export` does: write a data set, read it back, and compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.data.clip import FrameSource
from mpr.core.data.episode import Episode
from mpr.core.errors import OddLengths, UserError
from mpr.core.runs import RunFolder
from robot.commands.export import ExportConfig
from robot.recording import lerobot, minari
from robot.recording import lerobot_format as v3
from robot.recording.flags import FLAGS
from robot.recording.recorded import load_recorded
from robot.recording.recorder import close_videos, episode_folders

IMAGE_ERROR = {"lerobot": 8.0, "minari": 0.0}  # of 255: encoding once more takes 0.5 to 6 on average; raw is raw

EpisodeParts = tuple[Mapping[str, NDArray[Any]], Mapping[str, FrameSource]]  # of one episode: columns and images


@dataclass(frozen=True)
class ComparedColumn:
    """One column or camera, written and read back."""

    name: str
    count: int  # rows or images
    mean: float  # absolute difference: of all numbers, or of 255
    worst: float  # of a row's number, or of an image on average
    image: bool

    def within(self, image_error: float) -> bool:
        """Whether numbers are equal, and images no further off than that. NaN is not."""
        return self.worst <= (image_error if self.image else 0)

    def __str__(self) -> str:
        found = f"off by {self.mean:.2f} of 255, the worst by {self.worst:.2f}" if self.worst else "equal"
        return f"{self.name}: {self.count} {'images' if self.image else 'rows'}, {found}"


def export(config: ExportConfig) -> None:
    """Write, read back and compare. Raises UserError where they differ."""
    episodes = find_episodes(config)
    _check_alike(config.format, episodes)
    run = RunFolder(config.out, "robot export", as_dict(config))
    place = config.target
    if config.format == "lerobot":
        lerobot.write_lerobot(episodes, place)
        back = lerobot.read_lerobot(place)
    else:
        minari.write_minari(episodes, config.out, f"robot/{config.name}-v0")
        back = minari.read_minari_episodes(place)
    compared = compare_with_source(source_parts(config.format, episodes), back, len(episodes))
    print("\n".join([*map(str, compared), *format_summary(config.format, episodes)]))
    wrong = [one.name for one in compared if not one.within(IMAGE_ERROR[config.format])]
    if wrong:
        raise UserError(f"{place} reads back other than {config.episodes} in {', '.join(wrong)}: do not use it")
    run.finish({"episodes": len(episodes), "compared": [vars(one) for one in compared]})
    print(f"{place}: {len(episodes)} episodes")


def find_episodes(config: ExportConfig) -> list[Episode]:
    """The episodes to export, by number, each checked against its checksums.

    One of odd lengths is named and left out. Raises UserError where one fails, or none is left.
    """
    folders, found = episode_folders(config.episodes), list[Episode]()
    for folder in tqdm(folders.values(), "checking", unit=" episodes", disable=None):
        try:
            found.append(load_recorded(folder, verify=True))
        except OddLengths as error:
            print(f"left out: {error}")
    if len(found) < len(folders):
        print(f"{len(folders) - len(found)} of {len(folders)} episodes are left out")
    wanted = [episode for episode in found if episode.success or not config.successes]
    if not wanted:
        raise UserError(f"{config.episodes} holds {len(found)} episodes, none to export: record some first")
    return wanted


def source_parts(name: str, episodes: Sequence[Episode]) -> Iterator[EpisodeParts]:
    """What the data set has to hold of each episode."""
    paid = lerobot.all_paid(episodes)
    for episode in episodes:
        if name == "lerobot":
            yield lerobot.lerobot_columns(episode, paid), lerobot.lerobot_images(episode)
        else:
            yield minari.minari_columns(episode), episode.frames
        close_videos(episode)


def _check_alike(name: str, episodes: Sequence[Episode]) -> None:
    """A data set has one shape a column and camera. Raises UserError for the first that is not the first episode's."""
    first: dict[str, tuple[int, ...]] = {}
    for number, (arrays, frames) in enumerate(source_parts(name, episodes)):
        shapes = {key: values.shape[1:] for key, values in arrays.items()}
        shapes |= {key: images[0].shape for key, images in frames.items()}
        first = first or shapes
        for key in first | shapes:
            here, there = shapes.get(key, "nothing"), first.get(key, "nothing")
            if here != there:
                raise UserError(f"episode {number} in order has {key} of {here}, the first {there}: export it apart")


def format_summary(name: str, episodes: Sequence[Episode]) -> list[str]:
    """What the format cannot keep."""
    if name != "lerobot":
        noted = {name.partition("/")[0] for episode in episodes for name in (*episode.about, *episode.log.arrays)}
        lost = sorted({"seed", "task", "rate_hz"} | noted - {*FLAGS, "led"})  # as `intervention`
        return ["`stale` does not tell which image was too old", f"left out of the episodes: {', '.join(lost)}"]
    some_paid = any(episode.log.reward is not None for episode in episodes)
    unpaid = some_paid and not lerobot.all_paid(episodes)
    periods = np.concatenate([np.diff(episode.times) for episode in episodes]) * 1000
    return [
        f"timestamps are nominal, {lerobot.nominal_rate(episodes):g} Hz; periods were {periods.min():.1f} to "
        f"{periods.max():.1f} ms, the measured times are in observation.time",
        "states and actions are float32; an episode's last state and image, which no action followed, are left out",
        *(["next.reward is left out: not all episodes were paid"] if unpaid else []),
    ]


def compare_with_source(
    wanted: Iterator[EpisodeParts], found: Iterator[EpisodeParts], count: int
) -> list[ComparedColumn]:
    """Column by column, camera by camera. Raises UserError where an episode, a column or an image is not there."""
    gone: dict[tuple[str, bool], list[NDArray[np.float64]]] = {}
    episodes = 0
    for (arrays, frames), (read, seen) in zip(wanted, tqdm(found, "comparing", count, disable=None), strict=False):
        episodes += 1
        for name, array in arrays.items():
            gone.setdefault((name, False), []).append(_rows_off(name, array, read.get(name)))
        for name, images in frames.items():
            gone.setdefault((name, True), []).append(_images_off(name, images, seen.get(name)))
    if episodes != count or next(found, None) is not None:
        raise UserError(f"the data set reads back with {episodes} episodes, or more, of {count}: do not use it")
    rows = {key: np.concatenate(parts) for key, parts in gone.items()}
    return [ComparedColumn(n, len(v), float(v.mean()), float(v.max()), image) for (n, image), v in rows.items()]


def _rows_off(name: str, wanted: NDArray[Any], found: NDArray[Any] | None) -> NDArray[np.float64]:
    """[T] the largest difference in each row."""
    if found is None or found.shape != wanted.shape or v3.dtype_name(found) != v3.dtype_name(wanted):
        there = "nothing" if found is None else f"{found.shape} {found.dtype}"
        raise UserError(f"{name} reads back as {there}, written were {wanted.shape} {wanted.dtype}: do not use it")
    if v3.dtype_name(wanted) == v3.TEXT:
        return (found != wanted).astype(np.float64)
    off = np.abs(np.asarray(found, np.float64) - np.asarray(wanted, np.float64))
    return off.reshape(len(off), -1).max(1)


def _images_off(name: str, wanted: FrameSource, found: FrameSource | None) -> NDArray[np.float64]:
    """[T] the mean absolute difference in each image, of 255.

    Raises UserError where images are one out of place: far nearer, taken together, to those before or after.
    """
    if found is None or len(found) != len(wanted):
        there = 0 if found is None else len(found)
        raise UserError(f"{name} reads back with {there} images, written were {len(wanted)}: do not use it")
    off = np.zeros((len(wanted), 3))  # from the image before, its own, the one before beside its own
    before: tuple[NDArray[np.int16], ...] | None = None
    for t in range(len(wanted)):
        now = wanted[t].astype(np.int16), found[t].astype(np.int16)
        last = before or now
        off[t] = [np.abs(a - b).mean() for a, b in ((last[0], now[1]), now, (now[0], last[1]))]
        before = now
    early, own, late = off[1:].sum(0)
    if min(early, late) < own / 2:
        raise UserError(f"{name} reads back with images that are one out of place: do not use it")
    return off[:, 1]
