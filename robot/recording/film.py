"""An episode to look at: its cameras side by side, what was sent written under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.video import write_video
from mpr.core.errors import UserError
from mpr.core.report.drawing import write_text
from mpr.core.runs import atomic_path
from robot.hardware.action import STEP_M

HEIGHT = 256  # pixels of each camera's image


def save_film(episode: Episode, path: Path) -> None:
    """An MP4 at the episode's own times. Raises UserError where it has no images."""
    if not episode.frames:
        raise UserError("the episode has no images to make a film of")
    with atomic_path(path) as temporary:
        write_video(temporary, _drawn(episode), episode.times)


def _drawn(episode: Episode) -> Iterator[NDArray[np.uint8]]:
    """Every frame [H, W, 3]."""
    for t in range(len(episode) + 1):
        image = np.hstack([_sized(frames[t]) for frames in episode.frames.values()])
        write_text(image, f"step {t}, {episode.times[t]:.2f} s", 2 if t < len(episode) else 1)
        if t < len(episode):
            x, y, z = 100 * STEP_M * episode.executed_actions[t, :3]
            grip = episode.executed_actions[t, 7]
            write_text(image, f"sent {x:+.1f} {y:+.1f} {z:+.1f} cm, gripper {grip:+.2f}", 1)
        else:
            write_text(image, ending(episode), 2)
        yield image


def ending(episode: Episode) -> str:
    """How it ended, in a few words: a fault before whatever the operator marked."""
    about = episode.about
    return "success" if episode.success else about.get("fault") or about.get("mark") or "time is up"


def _sized(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    wide = 2 * round(width * HEIGHT / height / 2)  # H.264 wants even sizes
    return np.asarray(cv2.resize(np.asarray(frame), (wide, HEIGHT), interpolation=cv2.INTER_LINEAR), np.uint8)
