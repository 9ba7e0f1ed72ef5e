"""Films of one seed's episode under several policies, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.video import write_video
from mpr.core.report.drawing import write_text
from mpr.core.runs import atomic_path
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.tasks import Task

_SIZE = 256  # pixels, side of one policy's image
ACROSS = 5  # images side by side


def film(path: Path, episodes: Mapping[str, Episode], task: Task, view: str) -> None:
    """Write an MP4 of recorded episodes, each in an image of its own, named, ACROSS of them side by side.

    One that ended stands still, its ending written under it. Raises NoGL where nothing can be rendered.
    """
    columns: list[NDArray[np.uint8]] = []
    with KitchenImages(task, [view], _SIZE) as images:
        for name, episode in episodes.items():
            assert episode.recording is not None
            columns.append(_captioned(images.of(episode.recording)[view], name, episode.success))
    rate_hz = max(episode.rate_hz for episode in episodes.values())
    length = max(len(column) for column in columns)
    whole = [np.concatenate([c, np.repeat(c[-1:], length - len(c), 0)]) for c in columns]
    across = min(ACROSS, len(whole))
    whole += [np.zeros_like(whole[0])] * (-len(whole) % across)
    rows = [np.concatenate(whole[at : at + across], axis=2) for at in range(0, len(whole), across)]
    with atomic_path(path) as temporary:
        write_video(temporary, iter(np.concatenate(rows, axis=1)), np.arange(length) / rate_hz)


def _captioned(frames: NDArray[np.uint8], name: str, success: bool) -> NDArray[np.uint8]:
    out = frames.copy()
    for image in out:
        write_text(image, name, line=len(image) // 20)
    write_text(out[-1], "success" if success else "time is up", line=1)
    return out
