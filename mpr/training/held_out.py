"""A predictor on held-out clips, beside itself with wrong images and beside predictors that know no scene.

Where a clip's scene was recorded the figures are against the true motion, elsewhere against compensated tracks: two
tables, never mixed (`held_out_page.py` writes them in words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mpr.core.data.clip import TrackedClip
from mpr.core.report.intervals import Interval
from mpr.predictor.checkpoint import Predictor
from mpr.training.metrics import Figures, probe_figures, residue_share
from mpr.training.probes import Probe, Recordings, probes
from mpr.training.shown import Images, ShownImages, exchanged
from tracking.motion.compensation import Compensation

_BATCH = 64  # transitions predicted at once

SHOWN_IMAGES: dict[str, Images] = {  # rows in which the predictor itself speaks
    "predictor": "own",
    "frames reversed": "reversed",
    "black images": "black",
    "exchanged images": "exchanged",
}
HELD_OUT_ROWS = {  # in words; {target} is what the table is against
    "predictor": "the trained predictor, its last weights",
    "frames reversed": "the predictor, shown the next frame as the one before: as if things went back",
    "black images": "the predictor, shown black images: points and progress alone",
    "exchanged images": "the predictor, shown the images of another clip, of another group",
    "constant velocity": "each point goes on as compensation saw it go over the step before",
    "mean training motion": "the mean compensated motion of the training clips' object points, everywhere",
    "random direction": "one direction a step, drawn at random (0.32 by chance)",
    "zero motion": "nothing moves",
    "oracle": "the {target} itself: no predictor can do better",
}


@dataclass(frozen=True)
class Against:
    """One table: rows of figures over the clips whose targets are of one kind."""

    target: Literal["true motion", "compensated motion"]
    clips: int
    rows: dict[str, Figures]
    moving: int  # points, over all steps, that the figures are of
    unknown: float  # share of object points left out, since no surface of the object was found at them
    residue: Interval | None  # of compensated motion: `residue_share`


def against(asked: Sequence[Probe]) -> tuple[list[int], list[int]]:
    """Numbers of the probes whose targets are the true motion, and of the others."""
    return [k for k, p in enumerate(asked) if p.true], [k for k, p in enumerate(asked) if not p.true]


def compare_with_null_models(
    predictor: Predictor,
    clips: Sequence[TrackedClip],
    motion: NDArray,
    compensate: Compensation = "mean",
    every: int = 1,
    recordings: Recordings = (),
    spare: Sequence[TrackedClip] = (),
) -> list[Against]:
    """The predictor and its baselines on held-out clips: against the true motion first, then against compensated.

    `motion` [2] is the mean motion of the training clips; `recordings` as `probes` takes them. Where no other held-out
    clip is of another group, exchanged images are those of a clip of `spare`.
    """
    asked = probes(clips, predictor.budget, compensate, every, predictor.fill, recordings)
    predicted = predictions(predictor, clips, asked, motion, spare)
    tables = []
    for chosen in against(asked):
        some = [asked[k] for k in chosen]
        if not some:
            continue
        rows = {name: probe_figures(some, [deltas[k] for k in chosen]) for name, deltas in predicted.items()}
        known = np.concatenate([p.known for p in some])
        count, moving = len({p.clip for p in some}), sum(int(p.moving.sum()) for p in some)
        if some[0].true:
            tables.append(Against("true motion", count, rows, moving, 1 - float(known.mean()), None))
        else:
            tables.append(Against("compensated motion", count, rows, moving, 0.0, residue_share(some)))
    return tables


def validate(
    predictor: Predictor,
    clips: Sequence[TrackedClip],
    compensate: Compensation = "mean",
    every: int = 1,
    recordings: Recordings = (),
) -> Figures:
    """Only the predictor's own row, of the table that `compare_with_null_models` gives first."""
    asked = probes(clips, predictor.budget, compensate, every, predictor.fill, recordings)
    asked = [p for p in asked if p.true] or asked
    return probe_figures(asked, predict_probes(predictor, clips, asked)[0])


def predictions(
    predictor: Predictor,
    clips: Sequence[TrackedClip],
    asked: Sequence[Probe],
    motion: NDArray,
    spare: Sequence[TrackedClip],
) -> dict[str, list[NDArray[np.float32]]]:
    """Predicted deltas [K, 2] of each probe's object points, by row of the table."""
    images = dict(SHOWN_IMAGES)
    if exchanged(clips, spare) is None:
        del images["exchanged images"]
    seen = predict_probes(predictor, clips, asked, tuple(images.values()), spare)
    return {
        **dict(zip(images, seen, strict=True)),
        "constant velocity": [p.velocity for p in asked],
        "mean training motion": [np.tile(motion, (len(p.target), 1)) for p in asked],
        "random direction": [_random_direction(p) for p in asked],
        "zero motion": [np.zeros_like(p.target) for p in asked],
        "oracle": [np.nan_to_num(p.target) for p in asked],
    }


def _random_direction(probe: Probe) -> NDArray[np.float32]:
    angle = np.random.default_rng((probe.clip, probe.t)).uniform(0, 2 * np.pi)
    return np.tile(np.array([np.cos(angle), np.sin(angle)], np.float32), (len(probe.target), 1))


def predict_probes(
    predictor: Predictor,
    clips: Sequence[TrackedClip],
    asked: Sequence[Probe],
    images: Sequence[Images] = ("own",),
    spare: Sequence[TrackedClip] = (),
) -> list[list[NDArray[np.float32]]]:
    """For each kind of images the predicted deltas [K, 2] of each probe's object points, when shown those."""
    shown = [ShownImages(clips, how, spare) for how in images]
    out: list[list[NDArray[np.float32]]] = [[] for _ in images]
    for start in range(0, len(asked), _BATCH):
        some = asked[start : start + _BATCH]
        points, valid = np.stack([p.points for p in some]), np.stack([p.valid for p in some])
        progress = np.array([p.progress for p in some], np.float32)
        pairs = [[one.pair(p) for p in some] for one in shown]
        wanted = sorted({key for kind in pairs for pair in kind for key in pair})
        tokens = predictor.encode(np.stack([shown[0].frame(key) for key in wanted]))  # each once, if in many pairs
        row = {key: k for k, key in enumerate(wanted)}
        for kind, deltas in zip(pairs, out, strict=True):
            both = torch.cat([tokens[[row[pair[i]] for pair in kind]] for i in (0, 1)], 1)
            found = predictor.predict(both, points, progress, valid)
            deltas += [delta[: len(p.target)] for p, delta in zip(some, found, strict=True)]
    return out
