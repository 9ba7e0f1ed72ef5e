"""Demonstrations as Minari data sets, and two kinds of Minari data sets as demonstrations: ours and FrankaKitchen-v1's.

Writes Minari's buffers into its storage; its collector (which needs jax) is not used. Pictures are stored without loss.
A data set of ours has observations {"state": [D], "images": {camera: [H, W, 3]}}; `actions` are the executed ones, so
that transitions are true, and infos["label"] holds the noise-free ones to learn from. Recordings are not stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rl.demonstrations import BadDemonstration, Demonstration
from tracking.errors import UserError
from tracking.runs import atomic_folder

STOCK_KEYS = {"observation", "achieved_goal", "desired_goal"}  # of FrankaKitchen-v1's observations
OUR_KEYS = {"state"}


def _minari() -> Any:
    try:
        import h5py  # noqa: F401  what Minari's storage needs, and says so only later
        import minari

        return minari
    except ImportError as error:
        raise UserError("Minari data sets need Minari: pip install 'minari[hdf5]>=0.5.4,<0.6'") from error


def save_minari(demonstrations: Iterable[Demonstration], root: Path, name: str, description: str) -> Path:
    """Write the Minari data set `name` ("namespace/name-v0") below `root`, whole or not at all, one demonstration in
    memory at a time; one that stands there is replaced. Returns its folder.

    Minari finds it under its name where MINARI_DATASETS_PATH is `root`. Raises BadDemonstration where there is none,
    ValueError for a name that Minari would not read.
    """
    first = next(demonstrations := iter(demonstrations), None)
    if first is None:
        raise BadDemonstration(f"Minari data set {name}: there is no demonstration to save")
    buffers = (_buffer(i, d) for i, d in enumerate(itertools.chain([first], demonstrations)))
    return write_storage(root, name, _spaces(first), buffers, description, "demonstrations")


def write_storage(
    root: Path, name: str, spaces: tuple[Any, Any], buffers: Iterable[Any], description: str, algorithm: str
) -> Path:
    """Minari's own storage of episode buffers, below `root`, whole or not at all; pictures raw. Returns its folder.

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


def _spaces(demonstration: Demonstration) -> tuple[Any, Any]:
    from gymnasium.spaces import Box, Dict

    observations: dict[str, Any] = {"state": Box(-np.inf, np.inf, demonstration.states.shape[1:], np.float32)}
    if demonstration.frames:
        pictures: dict[str, Any] = {c: Box(0, 255, f[0].shape, np.uint8) for c, f in demonstration.frames.items()}
        observations["images"] = Dict(pictures)
    return Dict(observations), Box(-1.0, 1.0, demonstration.actions.shape[1:], np.float32)


def _buffer(number: int, demonstration: Demonstration) -> Any:
    from minari.data_collector import EpisodeBuffer

    d, last = demonstration, np.arange(len(demonstration)) == len(demonstration) - 1
    actions: Any = d.executed  # Minari declares lists, and stores arrays
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
        infos={"label": d.actions, "time": d.times},
    )


def read_minari(where: str | Path, task: str = "", fully: bool = False) -> Iterator[Demonstration]:
    """The demonstrations of a Minari data set, one at a time: a folder, or a name in Minari's own store.

    Of FrankaKitchen-v1's (D4RL's kitchen) `task` is what they shall show: episodes are cut at its first success, the
    state gets its handle minus gripper, and those without success are left out. Nothing is downloaded.
    Raises BadDemonstration for a data set that is not there, or that holds something else; FrankaKitchen-v1's holds no
    door opened `fully`.
    """
    data = _open(where)
    keys = set(getattr(data.observation_space, "spaces", {}))
    if keys >= OUR_KEYS:
        read = _ours
    elif keys >= STOCK_KEYS:
        if fully:
            raise BadDemonstration(f"{where} ends at FrankaKitchen-v1's own success: leave --fully out")
        read = _stock_reader(task)
    else:
        raise BadDemonstration(
            f"Minari data set {where} has observations {sorted(keys) or data.observation_space}; what can be read are "
            f"ours {sorted(OUR_KEYS)} and FrankaKitchen-v1's {sorted(STOCK_KEYS)}"
        )
    for episode, metadata in zip(data, data.storage.get_episode_metadata(data.episode_indices), strict=True):
        found = read(episode, metadata)
        if found is not None:
            yield found


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


def _ours(episode: Any, metadata: Any) -> Demonstration:
    try:
        return Demonstration(
            states=episode.observations["state"],
            actions=episode.infos["label"],
            executed=episode.actions,
            times=episode.infos["time"],
            success=bool(episode.terminations[-1]),
            seed=int(metadata["seed"]),
            frames=episode.observations.get("images", {}),
        )
    except (KeyError, TypeError) as error:
        raise BadDemonstration(f"episode {episode.id} of the Minari data set lacks {error}") from error


def _stock_reader(task: str) -> Any:
    from rl.kitchen.stock import stock_demonstration
    from rl.kitchen.tasks import find_task

    wanted = find_task(task)
    return lambda episode, _: stock_demonstration(
        wanted, episode.observations["observation"], episode.actions, seed=int(episode.id)
    )
