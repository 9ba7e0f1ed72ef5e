"""Whether values along a clip are in the order of its frames: value-order correlation, beside null models.

Spearman's correlation of values with time, 1 where they only grow (Ma et al., arXiv 2411.04549, who named it). A still
camera makes it easy: whatever changes as the door opens serves, raw pixels too. So pixels and the same network
untrained stand beside every figure, and nothing is to be said of one that is not above both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpr.core.data.clip import FrameSource
from mpr.core.report.intervals import SIGNED, Interval, mean
from mpr.representations.checkpoint import pixel_vectors
from mpr.representations.goal_value import goal_value

ValuesOf = Callable[[FrameSource], Tensor]  # frames -> one value a frame [T]
ORDER_ROWS = {  # in words
    "trained": "the trained network",
    "untrained": "the same network before any training, other random weights",
    "pixels": "minus the distance to the clip's last frame, of raw pixels at 32 x 32",
}


def value_order_correlation(values: NDArray) -> float:
    """Spearman's correlation of values [T] with their places, ties shared; 0 where all are alike."""
    from scipy.stats import rankdata

    ranks, places = rankdata(values) - (len(values) + 1) / 2, np.arange(len(values)) - (len(values) - 1) / 2
    length = float(np.linalg.norm(ranks) * np.linalg.norm(places))
    return float(ranks @ places) / length if length else 0.0


def pixel_order(frames: FrameSource) -> Tensor:
    """Minus the distance of each frame [T] to the last one, as pixels."""
    vectors = pixel_vectors(frames)
    return goal_value(vectors, vectors[-1])


def order_figures(parts: Sequence[FrameSource], rows: Mapping[str, ValuesOf]) -> dict[str, Interval]:
    """The mean correlation over clips of each row, with its interval."""
    with torch.inference_mode():
        return {
            name: mean([value_order_correlation(values(part).numpy()) for part in parts], SIGNED)
            for name, values in rows.items()
        }


def order_page(figures: Mapping[str, Interval], objective: str, about: str) -> str:
    """The table in words, as Markdown; `about`: what the objective's values are."""
    lines = ["| | value-order correlation (-1 to 1) |", "|---|---|"]
    lines += [f"| {name} | {figure} |" for name, figure in figures.items()]
    clips = next(iter(figures.values())).n
    words = [f"- {name}: {ORDER_ROWS[name]}." for name in figures]
    return "\n".join(
        [
            f"### Order of frames: {clips} held-out clip{'s' if clips != 1 else ''}, 95 % intervals over clips",
            "",
            *lines,
            "",
            f"Spearman's correlation of a clip's values with time; 1: they only grow. Values of `{objective}`: {about}",
            "",
            *words,
        ]
    )
