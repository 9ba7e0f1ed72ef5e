"""Small moving scenes drawn here: a texture, and an object that moves over it."""

from __future__ import annotations

import cv2
import numpy as np

H, W = 96, 160  # not square


def texture(seed: int, h: int, w: int) -> np.ndarray:
    """Smooth random texture, uint8 [h, w, 3], around a colour of its own."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(70, 180, 3) + np.zeros((h, w, 3))
    for cell in (4, 9):
        coarse = rng.normal(0, 28, (h // cell + 2, w // cell + 2, 1)).astype(np.float32)
        image += cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
    return image.clip(0, 255).astype(np.uint8)


def shifted(image: np.ndarray, dx: float, dy: float, h: int, w: int) -> np.ndarray:
    """The h x w image whose pixel (x, y) shows the image's (x - dx, y - dy), 20 pixels in."""
    matrix = np.array([[1, 0, 20 - dx], [0, 1, 20 - dy]], float)
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)


def queries(points) -> np.ndarray:
    return np.array([[0, x, y] for x, y in points], np.float32)


BOX = "55,25,105,71"  # around it there, roughly
OBJECT = np.array([60.0, 30.0, 100.0, 66.0])  # x0, y0, x1, y1 on frame 0


class Moving:
    """A red textured object moves over a green textured background; frames are drawn when asked for."""

    def __init__(self, length: int, step=(1.5, 0.5), pan=(0.0, 0.0), hand: bool = False) -> None:
        self.length, self.step, self.pan, self.hand = length, np.array(step), np.array(pan), hand
        self.ground = texture(11, 2 * H, 2 * W) // 2
        self.ground[..., 1] += 90
        self.thing = texture(12, H, W) // 2
        self.thing[..., 0] += 120

    def __len__(self) -> int:
        return self.length

    def box(self, t: int) -> np.ndarray:
        return OBJECT + np.tile((self.step + self.pan) * t, 2)

    def mask(self, t: int) -> np.ndarray:
        x0, y0, x1, y1 = self.box(t)
        y, x = np.mgrid[:H, :W]
        return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)

    def __getitem__(self, t: int) -> np.ndarray:
        assert 0 <= t < self.length
        image = shifted(self.ground, *(self.pan * t), H, W)
        thing = shifted(self.thing, *((self.step + self.pan) * t), H, W)
        image = np.where(self.mask(t)[..., None], thing, image)
        if self.hand:
            cv2.circle(image, (round(140 - 6 * t), 50), 12, (240, 215, 60), -1, cv2.LINE_AA)
        return image.astype(np.uint8)
