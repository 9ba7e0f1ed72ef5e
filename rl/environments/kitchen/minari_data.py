"""Demonstrations as Minari data sets, and two kinds of Minari data sets as demonstrations: ours and FrankaKitchen-v1's.

Writes Minari's buffers into its storage; its collector (which needs jax) is not used. Images are stored without loss.
A data set of ours has observations {"state": [D], "images": {camera: [H, W, 3]}}; `actions` are the executed ones, so
that transitions are true, and infos["label"] holds the noise-free ones to learn from. Recordings are not stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpr.core.data.episode import Episode
from mpr.core.errors import BadClip, UserError
from mpr.core.runs import atomic_folder
from rl.data.demonstrations import BadDemonstration, check_demonstration, labels

STOCK_KEYS = {"observation", "achieved_goal", "desired_goal"}  # of FrankaKitchen-v1's observations
OUR_KEYS = {"state"}
NO_EPISODE = (AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)  # by h5py


def _minari() -> Any:
    try:
        import h5py  # noqa: F401  what Minari's storage needs, and says so only later
        import minari

        return minari
    except ImportError as error:
        raise UserError("Minari data sets need Minari: pip install 'minari[hdf5]>=0.5.4,<0.6'") from error


def save_minari(demonstrations: Iterable[Episode], root: Path, name: str, description: str) -> Path:
    """Write the Minari data set `name` ("namespace/name-v0") below `root`, whole or not at all; returns its folder.

    One that stands there is replaced; one demonstration is in memory at a time. Minari finds it under its name where
    MINARI_DATASETS_PATH is `root`. Raises BadDemonstration where there is none, ValueError for a name that Minari would
    not read.
    """
    first = next(demonstrations := iter(demonstrations), None)
    if first is None:
        raise BadDemonstration(f"Minari data set {name}: there is no demonstration to save")
    buffers = (_buffer(i, d) for i, d in enumerate(itertools.chain([first], demonstrations)))
    return write_storage(root, name, _spaces(first), buffers, description, "demonstrations")


def write_storage(
    root: Path, name: str, spaces: tuple[Any, Any], buffers: Iterable[Any], description: str, algorithm: str
) -> Path:
    """Minari's own storage of episode buffers, below `root`, whole or not at all; images raw. Returns its folder.

    Raises ValueError for a name that Minari would not read.
    """
    minari = _minari()
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.dataset.minari_storage import MinariStorage

    parse_dataset_id(name)
    observations, actions = spaces
    with atomic_folder((Path(root) / name).absolute()) as folder:  # Minari joins a relative one to itself
        storage = MinariStorage.new(
            folder / "data", observation_space=observations, action_space=actions, jpeg_encoding=False
        )
        about = {"dataset_id": name, "minari_version": minari.__version__, "description": description}
        storage.update_metadata({**about, "algorithm_name": algorithm})
        storage.update_episodes(buffers)
    return Path(root) / name


def _spaces(demonstration: Episode) -> tuple[Any, Any]:
    from gymnasium.spaces import Box, Dict

    observations: dict[str, Any] = {"state": Box(-np.inf, np.inf, demonstration.states.shape[1:], np.float32)}
    if demonstration.frames:
        images: dict[str, Any] = {c: Box(0, 255, f[0].shape, np.uint8) for c, f in demonstration.frames.items()}
        observations["images"] = Dict(images)
    return Dict(observations), Box(-1.0, 1.0, demonstration.executed_actions.shape[1:], np.float32)


def _buffer(number: int, demonstration: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    d, last = demonstration, np.arange(len(demonstration)) == len(demonstration) - 1
    actions: Any = d.executed_actions  # Minari declares lists, and stores arrays
    observations: dict[str, Any] = {"state": d.states}
    if d.frames:
        observations["images"] = {c: np.stack([f[t] for t in range(len(f))]) for c, f in d.frames.items()}
    return EpisodeBuffer(
        id=number,
        seed=d.seed,
        observations=observations,
        actions=actions,
        rewards=(last & d.success).astype(float).tolist(),
        terminations=(last & d.success).tolist(),
        truncations=(last & (not d.success)).tolist(),
        infos={"label": labels(d), "time": d.times},
    )


def read_minari(
    where: str | Path, task: str = "", full_open: bool = False, tell: Callable[[str], None] = print
) -> Iterator[Episode]:
    """The demonstrations of a Minari data set, one at a time: a folder, or a name in Minari's own store.

    Of FrankaKitchen-v1's (D4RL's kitchen) `task` is what they shall show: episodes are cut at its first success, the
    state gets its handle minus gripper, and those without success are left out. Nothing is downloaded. An episode that
    is none (T actions without T+1 observations, NaN, ...) is named and left out, and how many were is told at the end.
    Raises BadDemonstration for a data set that is not there, that holds something else, or no episode that is one;
    FrankaKitchen-v1's holds no door opened so far as `full_open` asks.
    """
    data = _open(where)
    keys = set(getattr(data.observation_space, "spaces", {}))
    if keys >= OUR_KEYS:
        read = _ours
    elif keys >= STOCK_KEYS:
        if full_open:
            raise BadDemonstration(f"{where} ends at FrankaKitchen-v1's own success: leave --full_open out")
        read = _stock_reader(task)
    else:
        raise BadDemonstration(
            f"Minari data set {where} has observations {sorted(keys) or data.observation_space}; what can be read are "
            f"ours {sorted(OUR_KEYS)} and FrankaKitchen-v1's {sorted(STOCK_KEYS)}"
        )
    numbers, refused, tried = [int(number) for number in data.episode_indices], list[str](), 0
    try:
        for number in numbers:
            tried += 1
            try:
                found = read(*_whole(data, number))
            except (BadClip, *NO_EPISODE) as error:
                why = error if isinstance(error, UserError) else f"cannot be read ({type(error).__name__}: {error})"
                refused.append(f"episode {number}: {why}")
                tell(f"{where}: left out is {refused[-1]}")
                continue
            if found is not None:
                yield found
    finally:
        if refused:
            tell(f"{where}: {len(refused)} of {tried} episodes read are left out")
    if refused and len(refused) == len(numbers):
        raise BadDemonstration(f"{where} holds no episode that is one: {refused[0]}")


def _whole(data: Any, number: int) -> tuple[Any, Any]:
    """An episode of a data set and its metadata. Raises BadDemonstration or one of NO_EPISODE where it is none."""
    (episode,) = data.iterate_episodes([number])
    (metadata,) = data.storage.get_episode_metadata([number])
    steps = len(episode.actions)
    if steps == 0:
        raise BadDemonstration("it is empty: no action")
    one_each = {name: getattr(episode, name) for name in ("rewards", "terminations", "truncations")}
    lengths = {what: (len(values), steps) for what, values in one_each.items()}
    lengths |= {what: (length, steps + 1) for what, length in _lengths(episode.observations, "observations")}
    for what, (length, needed) in lengths.items():
        if length != needed:
            raise BadDemonstration(f"{steps} actions need {needed} {what}, got {length}")
    return episode, metadata


def _lengths(values: Any, what: str) -> Iterator[tuple[str, int]]:
    """Of every array in nested dictionaries: its name and length."""
    if isinstance(values, Mapping):
        for name, inner in values.items():
            yield from _lengths(inner, f"{what}: {name}")
    else:
        yield what, len(values)


def _open(where: str | Path) -> Any:
    minari = _minari()
    from minari.storage import get_dataset_path

    folder = Path(where) if (Path(where) / "data").is_dir() else get_dataset_path(str(where))
    try:
        return minari.MinariDataset(folder / "data")
    except (ValueError, KeyError, AssertionError, OSError) as error:
        raise BadDemonstration(
            f"no Minari data set {where}: neither a folder of that name nor {folder} holds one ({error}); "
            f"`minari download {where}` gets a public one"
        ) from error


def _ours(episode: Any, metadata: Any) -> Episode:
    success = bool(episode.terminations[-1])
    made = Episode(
        states=episode.observations["state"],
        times=episode.infos["time"],
        executed_actions=episode.actions,
        teacher_actions=episode.infos["label"],
        terminated=success,
        truncated=not success,
        success=success,
        seed=int(metadata["seed"]),
        frames=episode.observations.get("images", {}),
    )
    check_demonstration(made)
    return made


def _stock_reader(task: str) -> Any:
    from rl.environments.kitchen.stock import stock_demonstration
    from rl.environments.kitchen.tasks import find_task

    wanted = find_task(task)

    def read(episode: Any, _: Any) -> Episode | None:
        observations, actions = np.asarray(episode.observations["observation"]), np.asarray(episode.actions)
        if observations.shape[1:] != (59,) or actions.shape[1:] != (9,):
            raise BadDemonstration(
                f"it has observations {observations.shape} and actions {actions.shape}, FrankaKitchen-v1's are "
                "[T+1, 59] and [T, 9]"
            )
        if not (np.isfinite(observations).all() and np.isfinite(actions).all()):
            raise BadDemonstration("it holds NaN or infinity")
        return stock_demonstration(wanted, observations, actions, seed=int(episode.id))

    return read
