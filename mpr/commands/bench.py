"""`mpr bench`: how fast the reward line's parts run on this machine, as rates from one run on one synthetic clip.

`mpr bench rl` times the policy line's (rl.commands.bench).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.data.clip import FrameSource, MaskSource, PointTracker, Recent
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder
from tracking.motion.segments import track_segments

_PARTS = ("render", "masks", "exact", "lucas_kanade", "score", "train")


@dataclass(frozen=True)
class SpeedBenchConfig:
    """Times rendering, masks, both trackers, scoring and training steps. Medians; one thread unless --threads says."""

    out: Path = Path("runs/bench")  # run folder
    task: str = "open_microwave"  # of the synthetic clip everything is timed on
    seed: int = 0  # of that clip
    size: str = "tiny"  # predictor size: tiny, laptop
    rounds: int = 5  # timed repetitions of each part, after one that is not
    threads: int = 1  # of torch and OpenCV

    def __post_init__(self) -> None:
        if self.size not in ("tiny", "laptop"):
            raise UserError(f"no size '{self.size}' to time; there is tiny, laptop")
        if self.rounds < 1 or self.threads < 1:
            raise UserError("rounds and threads must be at least 1")


def rate(work: Callable[[], int], rounds: int) -> float:
    """Items a second: the median over rounds, after one round that is not counted."""
    work()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        items = work()
        rates.append(items / (time.perf_counter() - start))
    return float(np.median(rates))


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench`: measures all parts, prints their rates, and writes them into the run's summary."""
    config, dry_run = parse_config(SpeedBenchConfig, argv, "mpr bench")
    if dry_run:
        return print_plan(config, {}, {"parts": ", ".join(_PARTS)}, config.out)
    run = RunFolder(config.out, "bench", as_dict(config))
    with cpu_threads(config.threads, opencv=True):
        rates = {**tracking_rates(config), **predictor_rates(config)}
    for part, (value, unit) in rates.items():
        print(f"{part:<14}{value:>9.1f} {unit}")
    figures = {part: {"rate": value, "unit": unit} for part, (value, unit) in rates.items()}
    run.finish({"cores": os.cpu_count(), "threads": config.threads, "rates": figures})


def tracking_rates(config: SpeedBenchConfig) -> dict[str, tuple[float, str]]:
    """Frames a second of everything between a recorded scene and a tracked clip, at 256 x 256 and 1,024 points."""
    from tracking.simulator.mujoco_render import RenderedFrames, RenderedMasks, SceneRenderer
    from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene
    from tracking.synth.clip import record_synthetic
    from tracking.trackers.lucas_kanade import LucasKanade

    scene = RecordedScene(record_synthetic(config.task, "open", config.seed))
    crop, length = scene.crop(), len(scene.recording)

    def repeated(work: Callable[[int], object]) -> Callable[[], int]:
        def all_frames() -> int:
            for t in range(length):
                work(t)
            return length

        return all_frames

    with SceneRenderer(scene, crop) as renderer:
        frames, masks = Recent(RenderedFrames(renderer)), Recent(RenderedMasks(renderer))
        work = {
            "render": repeated(renderer.frame),
            "masks": repeated(renderer.mask),
            "exact": tracked(ExactTracker(scene, crop), frames, masks),
            "lucas_kanade": tracked(LucasKanade(), frames, masks),
        }
        return {part: (rate(some, config.rounds), "frames/s") for part, some in work.items()}


def tracked(tracker: PointTracker, frames: FrameSource, masks: MaskSource) -> Callable[[], int]:
    """Tracks all frames (already rendered after the first round)."""

    def work() -> int:
        track_segments(tracker, frames, masks)
        return len(frames)

    return work


def predictor_rates(config: SpeedBenchConfig) -> dict[str, tuple[float, str]]:
    """Transitions scored and samples trained a second, on random images."""
    import torch

    from mpr.predictor.model import MotionModel
    from mpr.predictor.sizes import PREDICTOR_SIZES
    from mpr.training.loop import MASK_SIZE, foreground_error, relative_error

    size = PREDICTOR_SIZES[config.size]
    model, rng = MotionModel(size), np.random.default_rng(config.seed)
    optimizer = torch.optim.AdamW(model.parameters())
    shape = (size.batch, size.points)
    frames = torch.from_numpy(rng.integers(0, 255, (size.batch, 2, size.image, size.image, 3), dtype=np.uint8))
    points = torch.from_numpy(rng.random((*shape, 2), np.float32))
    batch = {"points": points, "target": points + 0.01, "valid": torch.ones(shape, dtype=torch.bool)}
    batch["mask"] = torch.ones(size.batch, MASK_SIZE, MASK_SIZE)
    inputs = (frames, points, torch.rand(size.batch), batch["valid"])

    def score() -> int:
        with torch.inference_mode():
            model.eval()(*inputs)
        return size.batch

    def train() -> int:
        after, logits = model.train()(*inputs)
        loss = relative_error(after, batch) + (0 if logits is None else foreground_error(logits, batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return size.batch

    return {
        "score": (rate(score, config.rounds), "transitions/s"),
        "train": (rate(train, config.rounds), "samples/s"),
    }
