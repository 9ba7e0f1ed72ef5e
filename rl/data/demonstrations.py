"""Demonstrations: episodes that a policy is taught from, and what is asked of them. Knows no simulator, no learner.

A demonstration is an `Episode` of float32 states and actions. What a policy learns to do are its `labels`: the
teacher's actions, free of noise. What was really sent, `executed_actions`, is what led to the next state. Where there
was no teacher but a person who led the arm, what was sent is what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import ABOUT, load_episode, save_episode
from mpr.core.data.old_episode_folder import DEMONSTRATION
from mpr.core.errors import BadClip, OddLengths

_PREFIX = "demonstration_"

FrameSize = tuple[int, int]  # of a camera's frames: height and width in pixels


class BadDemonstration(BadClip):
    """An episode that cannot be learned from, is damaged or of another robot: names it and what is wrong."""


def labels(demonstration: Episode) -> NDArray[np.float32]:
    """[T, A] What a policy learns to do."""
    teacher = demonstration.teacher_actions
    return np.asarray(demonstration.executed_actions if teacher is None else teacher, np.float32)


def seed_of(demonstration: Episode) -> int:
    """The seed of its start, or its number in its data set. Raises BadDemonstration where it has none."""
    if demonstration.seed is None:
        raise BadDemonstration("a demonstration needs a seed, or a number: its folder is called by it")
    return demonstration.seed


def check_demonstration(demonstration: Episode) -> None:
    """Check that an episode's numbers are those that a policy is trained on, and that its start has a number.

    Raises BadDemonstration where they are not, or nobody numbered it.
    """
    seed_of(demonstration)
    for name, array in demonstration.arrays.items():
        if name != "times" and array.dtype != np.float32:
            raise BadDemonstration(f"demonstration {demonstration.seed}: {name} must be float32, got {array.dtype}")


def check_sizes(demonstrations: Sequence[Episode], state_size: int, action_size: int) -> None:
    """Raises BadDemonstration where there is none, or one is of another state or action space."""
    if not demonstrations:
        raise BadDemonstration("no demonstrations: make some with `mpr demos`")
    for demonstration in demonstrations:
        there = demonstration.states.shape[1], demonstration.executed_actions.shape[1]
        if there != (state_size, action_size):
            raise BadDemonstration(
                f"demonstration {demonstration.seed} has {there[0]} state and {there[1]} action dimensions, "
                f"wanted are {state_size} and {action_size}: it is of another robot or observation"
            )


def cut_off(demonstration: Episode) -> Episode:
    """The same episode as one that time was up for, short of its goal: what led there is shown, success is not."""
    return replace(demonstration, terminated=False, truncated=True, success=False)


def check_ends_short(demonstrations: Sequence[Episode]) -> None:
    """Raises BadDemonstration for one that shows the success which only practice is to find."""
    for demonstration in demonstrations:
        if demonstration.success or not demonstration.truncated:
            raise BadDemonstration(
                f"demonstration {demonstration.seed} ends in success, with --shown_travel none may: make some with the "
                "same options (`mpr demos`)"
            )


def check_shown(demonstrations: Sequence[Episode], wanted: str) -> None:
    """Raises BadDemonstration for one of another task, or of another end to it: their successes are not ours."""
    for demonstration in demonstrations:
        if demonstration.task not in ("", wanted):
            raise BadDemonstration(
                f"demonstration {demonstration.seed} shows '{demonstration.task}', wanted is '{wanted}': `mpr demos` "
                "makes some"
            )


def frame_sizes(demonstrations: Sequence[Episode], cameras: Iterable[str]) -> dict[str, FrameSize]:
    """How large each of the cameras' frames are, in all demonstrations alike. Raises BadDemonstration."""
    sizes = {camera: _frame_size(demonstrations[0], camera) for camera in cameras}
    check_frames(demonstrations, sizes)
    return sizes


def check_frames(demonstrations: Sequence[Episode], cameras: Mapping[str, FrameSize]) -> None:
    """Raises BadDemonstration where one was not seen by one of the cameras, or in frames of another size."""
    for demonstration in demonstrations:
        for camera, wanted in cameras.items():
            there = _frame_size(demonstration, camera)
            if there != wanted:
                raise BadDemonstration(
                    f"demonstration {demonstration.seed} has frames of camera '{camera}' of {there[0]} x {there[1]} "
                    f"pixels, wanted are {wanted[0]} x {wanted[1]}: `mpr demos --size` says how large they are made"
                )


def _frame_size(demonstration: Episode, camera: str) -> FrameSize:
    frames, seen = demonstration.frames, ", ".join(demonstration.frames) or "none"
    if camera not in frames:
        raise BadDemonstration(
            f"demonstration {demonstration.seed} has no frames of camera '{camera}'; it has {seen}: "
            f"`mpr demos --views [{camera}]` makes some that have"
        )
    height, width = frames[camera][0].shape[:2]
    return height, width


def demonstration_folder(root: Path, seed: int) -> Path:
    """Where the demonstration of a seed stands below `root`."""
    return Path(root) / f"{_PREFIX}{seed:06d}"


def save_demonstration(demonstration: Episode, folder: Path) -> None:
    """Write an episode's folder, its frames without loss: a policy is shown the same pixels when it acts.

    Raises BadDemonstration.
    """
    check_demonstration(demonstration)
    save_episode(demonstration, folder, lossless=True)


def load_demonstration(folder: Path) -> Episode:
    """Open a demonstration's folder; frames stay on disk. Raises BadDemonstration naming the folder, OddLengths."""
    try:
        found = load_episode(folder)
        check_demonstration(found)
        return found
    except OddLengths:
        raise
    except BadClip as error:
        named = str(error) if str(folder) in str(error) else f"{folder}: {error}"
        raise BadDemonstration(named) from error


def demonstration_folders(root: Path) -> list[Path]:
    """All demonstrations right below `root`, by seed."""
    files = (file for name in (ABOUT, DEMONSTRATION) for file in Path(root).glob(f"{_PREFIX}*/{name}"))
    return sorted({file.parent for file in files})


def load_demonstrations(root: Path, count: int = 0) -> list[Episode]:
    """The first `count` demonstrations right below `root`, by seed (0: all); one of odd lengths is named and left out.
    Raises BadDemonstration where there are fewer, or none, or one is damaged, or two do not fit together."""
    folders, found, odd = demonstration_folders(root), list[Episode](), list[str]()
    if not folders:
        raise BadDemonstration(f"no demonstrations in {root}: make some with `mpr demos --out {root}`")
    for folder in folders:
        if count and len(found) == count:
            break
        try:
            found.append(load_demonstration(folder))
        except OddLengths as error:
            odd.append(str(error))
            print(f"left out: {error}")
    if odd:
        print(f"{len(odd)} of {len(found) + len(odd)} demonstrations are left out")
    if count > len(found):
        beside = f" and {len(odd)} that are none ({odd[0]})" if odd else ""
        raise BadDemonstration(
            f"--num_demos {count}: {root} holds {len(found)} demonstrations{beside}; make more with `mpr demos`"
        )
    if not found:
        raise BadDemonstration(f"{root} holds no demonstration that is one: {odd[0]}")
    check_sizes(found, found[0].states.shape[1], found[0].executed_actions.shape[1])
    check_shown(found, found[0].task)
    return found
