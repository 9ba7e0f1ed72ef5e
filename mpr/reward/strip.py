"""The film strip: frames with predicted and tracked arrows, and the agreement curve under them, as PNG and MP4."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mpr.core.data.clip import FrameSource
from mpr.core.data.video import write_video
from mpr.core.report.figures import new_figure
from mpr.core.runs import atomic_path
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.scoring import Scored, agreements, moved_shares

TRACKED, PREDICTED = "#1f9bff", "#ff8c1a"  # colour-blind safe pair, readable on kitchens
_GAP = "#f3dcdc"
ARROWS = 40  # drawn at most, evenly chosen among the points that moved
MAGNIFY = 4.0  # arrows are drawn this many times longer than they are


def _arrows(axis: Any, scored: Scored, threshold_px: float) -> None:
    """Arrows of the points that moved; the predicted ones at the tracked ones' mean length: only direction counts."""
    length = np.linalg.norm(scored.tracked, axis=1)
    points = np.flatnonzero(length >= threshold_px)
    points = points[:: max(1, -(-len(points) // ARROWS))]
    if not len(points):
        return
    at = scored.points[points]
    guess = scored.predicted[points]
    size = np.linalg.norm(guess, axis=1, keepdims=True)
    guess = np.where(size > 0, guess / np.where(size > 0, size, 1), 0) * length[points].mean()
    for delta, colour in ((scored.tracked[points], TRACKED), (guess, PREDICTED)):
        axis.quiver(
            *at.T, *(MAGNIFY * delta).T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.009, zorder=3
        )


def _curve(axis: Any, scored: Sequence[Scored], times: NDArray, threshold_px: float) -> None:
    share, agreed = ([*f(scored, threshold_px), f(scored, threshold_px)[-1]] for f in (moved_shares, agreements))
    gaps = [s.gap for s in scored]
    if any(gaps):
        axis.fill_between(times, [*gaps, gaps[-1]], step="post", color=_GAP, label="gap: not counted")
    axis.fill_between(times, share, step="post", color="#d0d0d0", label="share of object points that moved")
    axis.step(times, agreed, where="post", color=PREDICTED, label="agreement")
    axis.set(xlim=(times[0], times[-1]), ylim=(0, 1), xlabel="seconds", ylabel="per step")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, fontsize=8, frameon=False)


def chosen_steps(scored: Sequence[Scored], count: int, threshold_px: float = MOTION_THRESHOLD_PX) -> list[int]:
    """Up to `count` steps spread over the episode, each moved to the busiest step of its stretch."""
    edges = np.linspace(0, len(scored), min(count, len(scored)) + 1).astype(int)
    share = moved_shares(scored, threshold_px)
    return [int(a + np.argmax(share[a:b])) for a, b in pairwise(edges) if b > a]


def draw_strip(
    path: Path,
    frames: FrameSource,
    scored: Sequence[Scored],
    times: NDArray,
    title: str,
    threshold_px: float = MOTION_THRESHOLD_PX,
) -> None:
    """Write the PNG: eight frames with arrows, and under them the curve. `times` [T+1] seconds."""
    figure = new_figure(18, 4.6)
    steps = chosen_steps(scored, 8, threshold_px)
    grid = figure.add_gridspec(
        2, len(steps), height_ratios=[2, 1], hspace=0.18, wspace=0.03, left=0.04, right=0.99, top=0.9, bottom=0.11
    )
    curve = figure.add_subplot(grid[1, :])
    _curve(curve, scored, times - times[0], threshold_px)
    for column, t in enumerate(steps):
        axis = figure.add_subplot(grid[0, column])
        axis.imshow(frames[t])
        axis.set(xticks=[], yticks=[], title=f"{times[t] - times[0]:.2f} s")
        _arrows(axis, scored[t], threshold_px)
        curve.axvline(times[t] - times[0], color="#808080", lw=0.6)
    figure.text(0.5, 0.99, title, ha="center", va="top", fontsize=11)
    figure.text(0.04, 0.99, "tracked", color=TRACKED, va="top", weight="bold")
    figure.text(0.09, 0.99, "predicted", color=PREDICTED, va="top", weight="bold")
    figure.text(0.15, 0.99, f"(arrows {MAGNIFY:g} times as long as the motion)", va="top", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def draw_film(
    path: Path, frames: FrameSource, scored: Sequence[Scored], times: NDArray, threshold_px: float = MOTION_THRESHOLD_PX
) -> None:
    """Write the MP4: every step's frame with arrows, the curve under it with a moving line.

    Frames [256, 256, 3] uint8 RGB, T scored steps, `times` [T+1] seconds.
    """
    figure = new_figure(4.2, 5.6)
    frame_axes, curve = figure.subplots(2, 1, height_ratios=[3, 1])
    figure.subplots_adjust(0.14, 0.1, 0.98, 0.99, hspace=0.12)
    _curve(curve, scored, times - times[0], threshold_px)
    line = curve.axvline(0.0, color="black", lw=1)

    def drawn_frames() -> Any:
        for t in tqdm(range(len(scored)), desc="film", unit="frame", leave=False):
            frame_axes.clear()
            frame_axes.imshow(frames[t])
            frame_axes.set(xticks=[], yticks=[], xlim=(-0.5, 255.5), ylim=(255.5, -0.5))
            _arrows(frame_axes, scored[t], threshold_px)
            line.set_xdata([times[t] - times[0]] * 2)
            figure.canvas.draw()
            drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3]
            yield drawn[: drawn.shape[0] // 2 * 2, : drawn.shape[1] // 2 * 2]

    with atomic_path(path) as temporary:
        write_video(temporary, drawn_frames(), times[:-1] if len(times) > 2 else times)
