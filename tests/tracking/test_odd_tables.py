"""Whatever one value of a table is: `mpr find` counts it, or refuses the table in one line. It never falls."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import save_clip
from tests.toy_clips import toy_clip
from tests.toy_sources import dump, film
from tests.tracking.test_ego4d import METADATA, NARRATIONS, V1, fho_action, lta
from tracking.sources.manifest import read_manifest

ODD = [None, float("nan"), float("inf"), -1, 10**400, 1e308, True, "", "x", "\ud800", "a\0b", "/", "..", "\n", [], {},
       [None], {"a": None}]  # fmt: skip
ROW = {"video": "a", "start_s": 0, "stop_s": 1, "narration": "opens the drawer", "verb": "open", "noun": "drawer",
       "uid": "u", "licence": "CC", "group": "g", "consent": "signed", "perspective": "head", "box": [1, 2, 3, 4],
       "box_s": 0.5}  # fmt: skip
FRAMES = {"video": "a", "start_frame": 0, "end_frame": 9, "fps": 10, "narration": "opens the drawer"}
FHO = {"video_uid": V1, "video_metadata": METADATA, "annotated_intervals": [{"narrated_actions": [fho_action()]}]}
ABOUT = {"video_uid": V1, "fb_participant_id": 3, "duration_sec": 300.0, "video_metadata": METADATA}

Table = tuple[list[str], Path, Any]  # arguments of `mpr find`, the file, its content


def ego4d(root: Path, content: Any, file: str = "annotations.json") -> Table:
    return ["--ego4d", str(root / "annotations.json")], root / file, content


def a_folder(root: Path) -> Table:
    film(root / "a.mp4")
    return (
        ["--folder", str(root)],
        root / "t.json",
        [ROW, FRAMES, {**FRAMES, "fps": None}, {**ROW, **FRAMES, "uid": "v"}],
    )


def metadata(root: Path) -> Table:
    dump(root / "annotations.json", NARRATIONS)
    return ego4d(root, {"videos": [ABOUT]}, "ego4d.json")


def clips(root: Path) -> Table:
    save_clip(toy_clip(length=6), root / "one")
    save_clip(toy_clip(length=6), root / "two")
    return ["--clips", str(root)], root / "one/clip.json", json.loads((root / "one/clip.json").read_text())


TABLES: dict[str, Callable[[Path], Table]] = {
    "narrations": lambda root: ego4d(root, NARRATIONS),
    "fho_main": lambda root: ego4d(root, {"videos": [FHO]}),
    "fho_lta": lambda root: ego4d(root, {"clips": [lta(0), lta(1)]}),
    "ego4d.json": metadata,
    "folder": a_folder,
    "clips": clips,
}


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    """Where every value lies in a JSON value, itself included."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*at, key))


def put(value: Any, at: tuple, new: Any) -> Any:
    if not at:
        return new
    value = copy.copy(value)
    value[at[0]] = put(value[at[0]], at[1:], new)
    return value


@pytest.mark.parametrize("name", TABLES)
def test_no_value_of_a_table_makes_find_fall(name, tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    source, file, content = TABLES[name](root)

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(list(places(content))), st.sampled_from(ODD))
    def one(at, odd):
        dump(file, put(content, at, odd))
        out = tmp_path_factory.mktemp("run") / "found"
        if mpr(["find", *source, "--out", str(out), "--check", "--sheet", "0"]) == 2:
            assert not out.exists()
        else:
            assert read_manifest(out / "manifest.jsonl")

    one()
