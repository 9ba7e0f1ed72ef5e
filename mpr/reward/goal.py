"""The picture that a reward compares an episode with, and what is refused as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import CROP_SIZE, FrameSource
from mpr.core.errors import UserError


def read_goal(file: Path) -> NDArray[np.uint8]:
    """An image file as uint8 RGB [256, 256, 3]: what the reward's camera shows, in the square of the episodes.

    Raises UserError for one that is missing, no image, or of another size.
    """
    import cv2

    if not file.is_file():
        raise UserError(f"--goal_image {file} does not exist: give an image file, or leave it out in the kitchen")
    image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR) if file.stat().st_size else None
    if image is None:
        raise UserError(f"--goal_image {file} is no image that can be read: give a PNG or JPEG file")
    if image.shape[:2] != (CROP_SIZE, CROP_SIZE):
        height, width = image.shape[:2]
        raise UserError(
            f"--goal_image {file} has {width} x {height} pixels: episodes are seen in a square of {CROP_SIZE} x "
            f"{CROP_SIZE}, and so has the goal to be"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


class FramesBesideGoal:
    """An episode's frames; one that is the goal image itself, pixel by pixel, is refused when it is read."""

    def __init__(self, frames: FrameSource, goal: NDArray[np.uint8]) -> None:
        self.frames, self.goal = frames, goal

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, t: int, /) -> NDArray[np.uint8]:
        frame = np.asarray(self.frames[t])
        if np.array_equal(frame, self.goal):
            raise UserError(
                f"the goal image is frame {t} of the episode that is scored: its end would be rewarded for being "
                "itself; give an image of another episode"
            )
        return frame
