"""Text on images, readable on anything."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def write_text(image: NDArray[np.uint8], text: str, line: int) -> None:
    """Write on an image [H, W, 3] uint8 in place, readable on anything; `line` counts from the bottom, which is 1."""
    at = (6, image.shape[0] - 20 * line + 12)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
