"""What a LeRobot data set's info.json says of its cameras: which there are, and how large their images are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError

_LICENCE = re.compile(r"^license:\s*[\"']?([^\"'\n]+?)[\"']?\s*$", re.MULTILINE)
_AXES = {
    **dict.fromkeys(("height", "h", "rows"), "height"),
    **dict.fromkeys(("width", "w", "columns", "cols"), "width"),
    **dict.fromkeys(("channels", "channel", "c", "rgb", "colors", "colours"), "channels"),
}
CHANNELS = (1, 2, 3, 4)


def camera(root: Path, features: Mapping[str, Any], asked: str) -> str:
    """The video feature asked for, or the only one there is. Raises UserError; a depth map is no camera."""
    videos = [name for name, feature in features.items() if feature["dtype"] == "video"]
    cameras = [name for name in videos if not is_depth(features[name])]
    if asked in cameras or (not asked and len(cameras) == 1):
        return asked or cameras[0]
    depth = [name for name in videos if name not in cameras]
    besides = f" ({', '.join(depth)}: depth, no camera)" if depth else ""
    if cameras:
        raise UserError(f"--lerobot {root}: choose a --camera; the video features are {', '.join(cameras)}{besides}")
    images = [name for name, feature in features.items() if feature["dtype"] == "image"]
    if images:
        besides += f"; images kept one by one are not read ({', '.join(images)}): encode them as video"
    raise UserError(f"--lerobot {root} has no video of a camera{besides or ': there is nothing to track in it'}")


def is_depth(feature: Mapping[str, Any]) -> bool:
    """As lerobot itself tells it (0.6.1, `configs.video.is_depth_map`)."""
    about, older = feature.get("info") or {}, feature.get("video_info") or {}
    return bool(about.get("is_depth_map") or about.get("video.is_depth_map") or older.get("video.is_depth_map"))


def height_width(name: str, feature: Mapping[str, Any]) -> tuple[int, int]:
    """Of a camera's images, by the names of its shape: [3, 480, 640] is channels, height, width where these say so.

    Without names the channels are the first or the last number, and the height comes before the width. Raises UserError
    where that leaves a choice.
    """
    shape, names = feature["shape"], feature.get("names")
    if isinstance(names, Mapping):
        names = next(iter(names.values()), None)
    named = [_AXES.get(str(one).lower()) for one in names] if isinstance(names, list | tuple) else []
    if len(named) == len(shape) and (found := _by_names(shape, named)):
        return found
    about = {**(feature.get("video_info") or {}), **(feature.get("info") or {})}
    told = tuple(about.get(f"video.{axis}", about.get(axis)) for axis in ("height", "width"))
    if all(isinstance(size, int) and size in shape for size in told):
        return told  # type: ignore[return-value]
    if not any(named) and (found := _by_place(shape)):
        return found
    raise UserError(
        f"shape {list(shape)} of '{name}' with names {names}: which number is the height, and which the width, cannot "
        "be told; name them channels, height, width in meta/info.json"
    )


def _by_names(shape: list[int], named: list[str | None]) -> tuple[int, int] | None:
    sizes = dict(zip(named, shape, strict=True))
    if named.count("height") != 1 or named.count("width") != 1 or sizes.get("channels", 3) not in CHANNELS:
        return None  # names of another order, left from before the shape was turned round
    return sizes["height"], sizes["width"]


def _by_place(shape: list[int]) -> tuple[int, int] | None:
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) == 3 and (shape[0] in CHANNELS) != (shape[2] in CHANNELS):
        return (shape[1], shape[2]) if shape[0] in CHANNELS else (shape[0], shape[1])
    return None


def lerobot_licence(root: Path) -> str:
    """As the head of the data set's README says it."""
    readme = root / "README.md"
    found = _LICENCE.search(readme.read_text(errors="replace")) if readme.is_file() else None
    return found[1] if found else "unknown"
