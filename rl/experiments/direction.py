"""`mpr experiment direction`: does the motion reward know which way the door goes, and not merely that it moves?

Scripted kitchen episodes of five kinds are recorded, tracked (exactly and with Lucas–Kanade) and scored by the
predictor and by every stand-in. Directional agreement = Σ agreement / Σ share of object points that moved: an oracle
has 1, a random direction 0.32. Each stage's output is kept; a killed run resumes with the file it was at.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mpr.checkpoint import Predictor, load_predictor, weights_digest
from mpr.predicted import PredictedDeltas, untrained
from mpr.reward import MOVED_REPORTED
from mpr.scoring import DeltaModel, Scored, agreements, moved_shares, score_clip
from mpr.standins import ConstantVelocity, FixedDirection, Oracle, RandomDirection
from mpr.tracked import TRACKERS
from rl.experiments.direction_table import KINDS, write_table
from rl.kitchen.tasks import TASKS
from tracking.clip import Recent, TrackedClip
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.processes import mapped
from tracking.runs import RunFolder, atomic_path
from tracking.store import load_clip, save_clip, save_tracks

STANDINS = (
    "untrained",
    "random_direction",
    "constant_velocity",
    "mean_motion",
    "any_motion",
    "black_images",
    "other_images",
)
ROWS = ("motion", *STANDINS, "progress_0", "progress_0.5", "progress_1")


@dataclass(frozen=True)
class DirectionConfig:
    """Directional agreement of the motion reward and its stand-ins on scripted Franka Kitchen episodes."""

    out: Path = Path("runs/direction")  # run folder
    predictors: Path = Path("runs/predictors")  # holds one `mpr train` run a task: microwave, hinge, slide
    tasks: list[str] = field(default_factory=lambda: list(TASKS))  # microwave, hinge, slide
    kinds: list[str] = field(default_factory=lambda: list(KINDS))  # opening, closing, jiggling, partial, miss
    trackers: list[str] = field(default_factory=lambda: list(TRACKERS))  # exact, lucas_kanade
    rows: list[str] = field(default_factory=lambda: list(ROWS))  # motion, the stand-ins, motion at a fixed progress
    episodes: int = 56  # of each task and kind, views in turn
    seed: int = 700_000  # of the first episode (reported evaluation: 700,000 and up)
    view: str = "all"  # a camera's name, or all of them in turn
    inputs: Path | None = None  # where episodes and tracks are kept, to share between runs (default: the run folder)
    workers: int = 2  # processes

    def __post_init__(self) -> None:
        for name, known in (("tasks", TASKS), ("kinds", KINDS), ("trackers", TRACKERS), ("rows", ROWS)):
            unknown = [v for v in getattr(self, name) if v not in known]
            if unknown:
                raise UserError(f"{name}: unknown '{unknown[0]}'; there is {', '.join(known)}")
        if self.episodes < 1 or self.workers < 1:
            raise UserError("episodes and workers must be at least 1")
        if self.episodes == 1 and "other_images" in self.rows:
            raise UserError("row other_images shows each episode the next one's frames: it needs --episodes 2 or more")

    def episode_folder(self, task: str, kind: str) -> Path:
        return self.kept / "episodes" / f"{task}_{kind}"

    def track_folder(self, task: str, kind: str, tracker: str) -> Path:
        return self.kept / "tracks" / tracker / f"{task}_{kind}"

    @property
    def kept(self) -> Path:
        return self.inputs or self.out

    def raw_file(self, task: str, kind: str, tracker: str) -> Path:
        return self.out / "raw" / f"{task}_{kind}_{tracker}.csv"


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(DirectionConfig, argv, "mpr experiment direction")
    inputs = {f"predictor of {task}": config.predictors / task for task in config.tasks}
    units = [(config, task, kind) for task in config.tasks for kind in config.kinds]
    if dry_run:
        facts = {"episodes": config.episodes * len(units), "tracked": config.episodes * len(units) * 2}
        return print_plan(config, inputs, facts, config.out)
    for name, path in inputs.items():
        if not path.is_dir():
            raise UserError(f"{name}: {path} does not exist; train it with `mpr train --out {path}`")
        load_predictor(path)  # refused now, not after hours of recording
    weights = {task: weights_digest(config.predictors / task) for task in config.tasks}
    run = RunFolder(config.out, "experiment direction", {**as_dict(config), "weights": weights}, ("out", "workers"))
    for stage, title in ((make_episodes, "episodes"), (track_unit, "tracks"), (score_unit, "scores")):
        for _ in tqdm(mapped(stage, units, config.workers), total=len(units), desc=title, unit="unit"):
            pass

    run.finish(write_table(config.out))


def make_episodes(unit: tuple[DirectionConfig, str, str]) -> None:
    """Stage 1: the scripted episodes of one task and kind (those there already are kept)."""
    from rl.kitchen.command import main as record

    config, task, kind = unit
    asked = {"task": task, "kind": kind, "episodes": config.episodes, "seed": config.seed, "view": config.view}
    asked["out"] = config.episode_folder(task, kind)
    record([word for key, value in asked.items() for word in (f"--{key}", str(value))])


def track_unit(unit: tuple[DirectionConfig, str, str]) -> None:
    """Stage 2: clip folders with exact tracks, then the same frames tracked with Lucas–Kanade."""
    from mpr.episode import load_episode
    from mpr.tracked import track_episode
    from tracking.lucas_kanade import LucasKanade
    from tracking.segments import track_segments

    config, task, kind = unit
    for folder in sorted(config.episode_folder(task, kind).glob("*/episode.json")):
        name = folder.parent.name
        exact = config.track_folder(task, kind, "exact") / name
        if not exact.is_dir():
            episode = load_episode(folder.parent)
            with track_episode(episode, "exact") as clip:
                save_clip(clip, exact, episode.recording)
        if "lucas_kanade" in config.trackers:
            other = config.track_folder(task, kind, "lucas_kanade") / name
            if not other.is_dir():
                clip = load_clip(exact)
                segments = track_segments(LucasKanade(), Recent(clip.frames), Recent(clip.masks))
                save_tracks(exact, other, segments, LucasKanade.name)


def models(rows: Sequence[str], trained: Predictor, at: int, other: TrackedClip) -> dict[str, DeltaModel]:
    """The rows' delta models for clip number `at` of a unit; `other_images` shows it the frames of clip `other`."""
    made: dict[str, Callable[[], DeltaModel]] = {
        "motion": lambda: PredictedDeltas(trained),
        "untrained": lambda: PredictedDeltas(untrained(trained, seed=0)),
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


def score_unit(unit: tuple[DirectionConfig, str, str]) -> None:
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
                ["task", "kind", "tracker", "row", "episode", "view", "steps", "steps_without_points", *SUMS]
            )
            for at, folder in enumerate(folders):
                clip, other = decoded_once(clips[at]), clips[(at + 1) % len(clips)]
                view, name = clip.source.extra.get("view", ""), folder.parent.name
                for row, model in models(config.rows, trained, at, other).items():
                    steps, empty, *sums = scored_sums(score_clip(clip, model))
                    writer.writerow([task, kind, tracker, row, name, view, steps, empty, *(f"{v:.6f}" for v in sums)])


SUMS = [f"{name}_{moved}" for moved in MOVED_REPORTED for name in ("agreement", "share")]


def scored_sums(scored: Sequence[Scored]) -> list[float]:
    """Steps, steps without an object point, then SUMS."""
    empty = sum(len(s.points) == 0 for s in scored)
    sums = [float(f(scored, m).sum()) for m in MOVED_REPORTED for f in (agreements, moved_shares)]
    return [len(scored), empty, *sums]


def decoded_once(clip: TrackedClip) -> TrackedClip:
    """The clip with its frames and masks kept in memory: every row looks at the same ones."""
    frames, masks = (Recent(source, len(clip.times)) for source in (clip.frames, clip.masks))
    return dataclasses.replace(clip, frames=frames, masks=masks)
