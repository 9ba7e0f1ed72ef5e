"""Demonstrations: what is refused, folders, Minari data sets of two kinds, the command. Physics in none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")
pytest.importorskip("minari")


from mpr.core.errors import BadClip
from rl.data.demonstrations import (
    BadDemonstration,
    check_demonstration,
    check_shown,
    check_sizes,
    demonstration_folder,
    load_demonstration,
    load_demonstrations,
    save_demonstration,
)
from tests.rl.made_demonstrations import PIXELS, assert_same, made

DAMAGED = "demonstration_000000(: not a whole scene recording| cannot be read)"

# --- what is refused --------------------------------------------------------------------------------------------------

NAN = np.full((6, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"teacher_actions": None, "executed_actions": np.zeros((0, 2), np.float32)}, "it is empty"),
        ({"states": np.zeros((5, 4), np.float32)}, "5 actions need 6 states, got 5"),
        ({"times": np.arange(7.0)}, "need 6 times, got 7"),
        ({"executed_actions": np.zeros((5, 3), np.float32)}, r"teacher_actions \(5, 2\), executed \(5, 3\)"),
        ({"base_actions": np.zeros((4, 2), np.float32)}, r"base_actions \(4, 2\), executed \(5, 2\)"),
        (
            {"states": np.where(np.arange(24).reshape(6, 4) == 9, NAN, 0)},
            "states holds NaN or infinity, first at step 2",
        ),
        ({"teacher_actions": np.full((5, 2), np.inf, np.float32)}, "teacher_actions holds NaN or infinity"),
        ({"states": np.zeros((6, 4))}, "states must be float32, got float64"),
        ({"times": np.zeros(6)}, "times do not increase"),
        ({"frames": {"front": np.zeros((5, *PIXELS), np.uint8)}}, "need 6 frames of camera front, got 5"),
        ({"frames": {"../front": np.zeros((6, *PIXELS), np.uint8)}}, "a camera cannot be called"),
        ({"recording": made(steps=6).recording}, "need 6 recorded frames, got 7"),
        ({"states": np.zeros(6, np.float32)}, r"states \(6,\) float32 is no array of numbers"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict, says: str) -> None:
    with pytest.raises(BadClip, match=f"(demonstration|episode) 7: .*{says}"):
        check_demonstration(replace(made(seed=7), **change))


def test_another_tasks_demonstrations_are_refused(tmp_path: Path) -> None:
    some = [replace(made(0), task="slide"), made(1)]
    check_shown(some, "slide")  # of the second nobody said
    with pytest.raises(BadDemonstration, match="demonstration 0 shows 'slide', wanted is 'slide, fully'"):
        check_shown(some, "slide, fully")
    for one, shows in zip(some, ("slide", "hinge"), strict=True):
        save_demonstration(replace(one, task=shows), demonstration_folder(tmp_path, one.seed))
    assert_same(load_demonstration(demonstration_folder(tmp_path, 0)), some[0])
    with pytest.raises(BadDemonstration, match="demonstration 1 shows 'hinge'"):
        load_demonstrations(tmp_path)


def test_another_robots_demonstrations_are_refused() -> None:
    check_sizes([made(0), made(1)], 4, 2)
    with pytest.raises(
        BadDemonstration, match="demonstration 1 has 5 state and 2 action dimensions, wanted are 4 and 2"
    ):
        check_sizes([made(0), made(1, size=5)], 4, 2)
    with pytest.raises(
        BadDemonstration, match="demonstration 0 has 4 state and 2 action dimensions, wanted are 4 and 9"
    ):
        check_sizes([made(0)], 4, 9)
    with pytest.raises(BadDemonstration, match="mpr demos"):
        check_sizes([], 4, 2)


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folders_keep_everything_and_frames_stay_on_disk(tmp_path: Path) -> None:
    written = [made(seed, steps, ("front", "left")) for seed, steps in ((12, 5), (3, 8))]
    for d in written:
        save_demonstration(d, tmp_path / f"demonstration_{d.seed:06d}")
    (tmp_path / ".demonstration_000001.77.tmp").mkdir()  # killed while writing
    found = load_demonstrations(tmp_path)
    assert [d.seed for d in found] == [3, 12]
    for a, b in zip(found, reversed(written), strict=True):
        assert_same(a, b)
        assert a.recording is not None and b.recording is not None
        assert a.recording.to_bytes() == b.recording.to_bytes()
        assert isinstance(a.frames["front"], np.memmap)
    names = ("arrays.npz", "recording.npz", "frames_left.npy", "episode.json", "SHA256SUMS")
    before = [(tmp_path / "demonstration_000003" / name).read_bytes() for name in names]
    save_demonstration(written[1], tmp_path / "demonstration_000003")
    assert before == [(tmp_path / "demonstration_000003" / name).read_bytes() for name in names]


@pytest.mark.parametrize("name", ["arrays.npz", "recording.npz", "frames_front.npy", "episode.json"])
def test_a_damaged_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(cameras=("front",)), folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadDemonstration, match=DAMAGED):
        load_demonstration(folder)
    (folder / name).unlink()
    with pytest.raises(BadDemonstration, match=f"half-written: .*{name} is missing"):
        load_demonstration(folder)


@pytest.mark.parametrize("name", ["arrays.npz", "recording.npz"])
@pytest.mark.parametrize(
    ("place", "bit", "raised"),
    [
        (6, 6, "version"),  # the zip version that a member needs
        (8, 0, "password"),  # flags: encrypted
        (8, 5, "patched data"),
        (10, 0, "compression method"),
    ],
)
def test_one_flipped_bit_of_the_zip_is_refused_by_name(
    tmp_path: Path, name: str, place: int, bit: int, raised: str
) -> None:
    """In the zip's directory: what the first member's entry says at `place`."""
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(), folder)
    flip(folder / name, (folder / name).read_bytes().index(b"PK\x01\x02") + place, bit)
    with pytest.raises(BadDemonstration, match=f"{DAMAGED} .*{raised}"):
        load_demonstration(folder)


@pytest.mark.parametrize("name", ["arrays.npz", "recording.npz"])
def test_one_flipped_bit_of_the_packed_numbers_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(), folder)
    flip(folder / name, 28, 1)  # where the first member's first block says how it is packed
    with pytest.raises(BadDemonstration, match=f"{DAMAGED} .*decompressing"):
        load_demonstration(folder)


def flip(file: Path, place: int, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


def test_no_and_unlike_demonstrations_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadDemonstration, match=r"no demonstrations in .*: make some with `mpr demos"):
        load_demonstrations(tmp_path)
    for seed, size in ((0, 4), (1, 5)):
        save_demonstration(made(seed, size=size), tmp_path / f"demonstration_{seed:06d}")
    with pytest.raises(BadDemonstration, match="demonstration 1 has 5 state"):
        load_demonstrations(tmp_path)


def test_a_folder_whose_numbers_went_bad_names_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demonstration_000000"
    save_demonstration(made(), folder)
    with np.load(folder / "arrays.npz") as z:
        arrays = dict(z)
    np.savez(folder / "arrays.npz", **{**arrays, "states": np.full_like(arrays["states"], np.nan)})
    with pytest.raises(BadDemonstration, match=f"{folder}: episode 0: states holds NaN"):
        load_demonstration(folder)
