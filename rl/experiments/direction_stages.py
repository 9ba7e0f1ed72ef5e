"""The stages of `mpr experiment direction`: episodes, tracks, scores. Each keeps its output; a killed one resumes."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mpr.core.checkpoints import weights_digest
from mpr.core.config import as_dict
from mpr.core.data.clip import Recent, TrackedClip
from mpr.core.data.clip_folder import load_clip, load_recording, save_clip, save_tracks
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder, atomic_path
from mpr.predictor.checkpoint import Predictor, load_predictor
from mpr.predictor.predicted import PredictedDeltas, untrained_predictor
from mpr.reward.agreement import MOTION_THRESHOLDS_PX
from mpr.reward.baselines import ConstantVelocity, FixedDirection, Oracle, RandomDirection, Rest, TrueDeltas
from mpr.reward.scoring import DeltaModel, Scored, agreements, moved_shares, score_clip, with_figures
from rl.environments.kitchen.config import EpisodesConfig
from rl.environments.kitchen.tasks import find_task
from rl.experiments.direction import ORACLE, DirectionConfig
from rl.experiments.direction_table import write_table

DirectionUnit = tuple[DirectionConfig, str, str]  # and a task and kind of episodes


def measure_direction(config: DirectionConfig, units: Sequence[DirectionUnit], predictors: Mapping[str, Path]) -> None:
    """All stages of all units, then the table. Raises UserError where a predictor is missing or unfinished."""
    for name, path in predictors.items():
        if not path.is_dir():
            raise UserError(f"{name}: {path} does not exist; train it with `mpr train --out {path}`")
        load_predictor(path)  # refused now, not after hours of recording
    weights = {task: weights_digest(config.predictors / task) for task in config.tasks}
    run = RunFolder(config.out, "experiment direction", {**as_dict(config), "weights": weights}, ("out", "workers"))
    for stage, title in ((make_episodes, "episodes"), (track_unit, "tracks"), (score_unit, "scores")):
        for _ in tqdm(mapped(stage, units, config.workers), total=len(units), desc=title, unit="unit"):
            pass

    run.finish(write_table(config.out))


def make_episodes(unit: DirectionUnit) -> None:
    """Stage 1: the scripted episodes of one task and kind (those there already are kept)."""
    from rl.environments.kitchen.episodes import record_episodes

    config, task, kind = unit
    out = config.episode_folder(task, kind)
    record_episodes(EpisodesConfig(task, kind, config.episodes, config.seed, config.view, out))


def track_unit(unit: DirectionUnit) -> None:
    """Stage 2: clip folders with exact tracks, then the same frames tracked with Lucas–Kanade.

    Raises UserError for clips of an older version, each in a square of its own: pixels of theirs and ours differ.
    """
    from mpr.core.data.episode_folder import load_episode
    from mpr.reward.tracked import track_episode
    from rl.environments.kitchen.tracked import square
    from tracking.motion.segments import track_segments
    from tracking.trackers.lucas_kanade import LucasKanade

    config, task, kind = unit
    for folder in sorted(config.episode_folder(task, kind).glob("*/episode.json")):
        name = folder.parent.name
        exact = config.track_folder(task, kind, "exact") / name
        if not exact.is_dir():
            episode = load_episode(folder.parent)
            with track_episode(episode, "exact") as clip:
                save_clip(clip, exact, episode.recording)
        elif (there := load_clip(exact)).crop != square(find_task(task), there.source.extra["view"]):
            raise UserError(f"{exact}: an older version tracked it in its own square; choose another --out or --inputs")
        if "lucas_kanade" in config.trackers:
            other = config.track_folder(task, kind, "lucas_kanade") / name
            if not other.is_dir():
                clip = load_clip(exact)
                segments = track_segments(LucasKanade(), Recent(clip.frames), Recent(clip.masks))
                save_tracks(exact, other, segments, LucasKanade.name)


def models(
    rows: Sequence[str], trained: Predictor, at: int, other: TrackedClip, truth: Callable[[], DeltaModel] = Rest
) -> dict[str, DeltaModel]:
    """The rows' delta models for clip number `at` of a unit.

    `other_images` shows it the frames of clip `other`; `truth` makes what foretells its true motion.
    """
    made: dict[str, Callable[[], DeltaModel]] = {
        "motion": lambda: PredictedDeltas(trained),
        ORACLE: truth,
        "untrained": lambda: PredictedDeltas(untrained_predictor(trained, seed=0)),
        "random_direction": lambda: RandomDirection(seed=at),
        "constant_velocity": ConstantVelocity,
        "mean_motion": lambda: FixedDirection(np.array(trained.card["mean_motion"])),
        "any_motion": Oracle,
        "black_images": lambda: PredictedDeltas(trained, images="black"),
        "other_images": lambda: PredictedDeltas(trained, images="other", other=other),
        "progress_0": lambda: PredictedDeltas(trained, progress=0.0),
        "progress_0.5": lambda: PredictedDeltas(trained, progress=0.5),
        "progress_1": lambda: PredictedDeltas(trained, progress=1.0),
    }
    return {row: made[row]() for row in rows}


def score_unit(unit: DirectionUnit) -> None:
    """Stage 3: per-episode sums of every row, one CSV for each tracker, written whole."""
    config, task, kind = unit
    trained = load_predictor(config.predictors / task)
    for tracker in config.trackers:
        file = config.raw_file(task, kind, tracker)
        if file.exists():
            continue
        folders = sorted(config.track_folder(task, kind, tracker).glob("*/clip.json"))[: config.episodes]
        clips = [load_clip(folder.parent) for folder in folders]
        with atomic_path(file) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(
                ["task", "kind", "tracker", "row", "episode", "view", "steps", "steps_without_points", *_SUMS]
            )
            for at, folder in enumerate(folders):
                clip, other = decoded_once(clips[at]), clips[(at + 1) % len(clips)]
                view, name = clip.source.extra.get("view", ""), folder.parent.name
                truth = partial(true_deltas, clip, folder.parent)
                for row, model in models(config.rows, trained, at, other, truth).items():
                    steps, empty, *sums = scored_sums(score_clip(clip, model))
                    writer.writerow([task, kind, tracker, row, name, view, steps, empty, *(f"{v:.6f}" for v in sums)])


def true_deltas(clip: TrackedClip, folder: Path) -> TrueDeltas:
    """What foretells the true motion of a clip. Raises UserError where its folder holds no recording of the scene."""
    recording = load_recording(folder)
    if recording is None:
        raise UserError(f"{folder} holds no scene recording: row {ORACLE} cannot be made of it; leave it out of --rows")
    return TrueDeltas(clip, recording)


_SUMS = [f"{name}_{moved}" for moved in MOTION_THRESHOLDS_PX for name in ("agreement", "share")]


def scored_sums(scored: Sequence[Scored]) -> list[float]:
    """Steps, steps without an object point, then _SUMS; gaps left out."""
    scored = with_figures(scored)
    empty = sum(len(s.points) == 0 for s in scored)
    sums = [float(f(scored, m).sum()) for m in MOTION_THRESHOLDS_PX for f in (agreements, moved_shares)]
    return [len(scored), empty, *sums]


def decoded_once(clip: TrackedClip) -> TrackedClip:
    """The clip with its frames and masks kept in memory: every row looks at the same ones."""
    frames, masks = (Recent(source, len(clip.times)) for source in (clip.frames, clip.masks))
    return dataclasses.replace(clip, frames=frames, masks=masks)
