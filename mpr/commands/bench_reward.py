"""`mpr bench reward`: how long the motion reward takes after an episode's last step, made before and afterwards.

An episode of a still camera is made of a synthetic clip, played to and fro. Everything is timed in one run: the whole
reward when the episode is over, and the same one made frame by frame, in this process and in one of its own that gets
its frames at the robot's pace.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.data.clip import CROP_SIZE, ClipSource, Square
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.streaming_process import StreamedObject, StreamingReward

if TYPE_CHECKING:
    from mpr.predictor.checkpoint import Predictor

_MARGIN_PX = 4  # of the box around the object
_WHOLE = Square(-0.5, -0.5, CROP_SIZE)  # the frames are the square already


@dataclass(frozen=True)
class RewardSpeedConfig:
    """Times the motion reward of an episode that a camera films: afterwards, and while it goes on."""

    out: Path = Path("runs/bench_reward")  # run folder
    predictor: Path | None = None  # run folder of `mpr train`; null: an untrained one of --size
    size: str = "tiny"  # of that: tiny, laptop
    task: str = "open_microwave"  # of the synthetic clip that is shown
    seed: int = 0  # of that clip
    steps: int = 150  # of the episode
    rate_hz: float = 10.0  # that frames come at
    rounds: int = 3  # of which medians are told
    paced: bool = True  # also in a process of its own, frames at their pace: takes a whole episode

    def __post_init__(self) -> None:
        if self.size not in ("tiny", "laptop"):
            raise UserError(f"no size '{self.size}' to time; there is tiny, laptop")
        if self.steps < 2 or self.rounds < 1 or self.rate_hz <= 0:
            raise UserError("--steps is at least 2, --rounds 1, --rate_hz above 0")


@dataclass(frozen=True)
class FilmedEpisode:
    """What a camera saw, and where the object was at first."""

    frames: list[NDArray[np.uint8]]  # T+1 of [256, 256, 3]
    times: NDArray[np.float64]  # [T+1] seconds
    box: tuple[float, float, float, float]


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench reward`: times all ways, prints them, and writes them into the run's summary."""
    config, dry_run = parse_config(RewardSpeedConfig, argv, "mpr bench reward")
    if dry_run:
        inputs = {"predictor": config.predictor} if config.predictor else {}
        return print_plan(config, inputs, {"steps": config.steps, "rounds": config.rounds}, config.out)
    with cpu_threads(1, opencv=True):
        predictor = _predictor(config)
        run = RunFolder(config.out, "bench reward", as_dict(config))
        found = _measure(config, predictor, filmed_episode(config))
    latency, frame = found["latency_s"], found["frame_s"]
    print(f"{latency['afterwards']:8.3f} s  after the last step, made afterwards ({config.steps} steps)")
    print(f"{latency['streaming']:8.3f} s  after the last step, made frame by frame: {latency['ratio']:.1f} times less")
    print(f"{frame['p50']:8.3f} s  for a frame meanwhile (95 %: {frame['p95']:.3f}, at most {frame['most']:.3f})")
    if "process_s" in latency:
        print(
            f"{latency['process_s']:8.3f} s  after the last step, in a process of its own, frame by frame at their pace"
        )
    print(
        f"the rewards differ by {found['difference']:.2g} at most; {found['kept_bytes_a_step']:,} bytes a step are kept"
    )
    run.finish(found)


def _predictor(config: RewardSpeedConfig) -> Predictor:
    from mpr.predictor.checkpoint import Predictor, load_predictor
    from mpr.predictor.model import MotionModel
    from mpr.predictor.predicted import untrained_predictor
    from mpr.predictor.sizes import PREDICTOR_SIZES

    if config.predictor is not None:
        return load_predictor(config.predictor)
    size = PREDICTOR_SIZES[config.size]
    return untrained_predictor(Predictor(MotionModel(size), size, {"rate_hz": config.rate_hz}), config.seed)


def filmed_episode(config: RewardSpeedConfig) -> FilmedEpisode:
    """The clip's scene before a camera that stands still, forwards and backwards until the steps are full."""
    from tracking.simulator.mujoco_render import SceneRenderer
    from tracking.simulator.mujoco_scene import RecordedScene
    from tracking.synth.clip import record_synthetic

    recording = record_synthetic(config.task, "open", config.seed)
    scene = RecordedScene(replace(recording, camera=recording.camera.standing(len(recording))))
    to_and_fro = [*range(len(recording)), *range(len(recording) - 2, 0, -1)]
    order = np.resize(to_and_fro, config.steps + 1)
    with SceneRenderer(scene, scene.crop()) as renderer:
        shown = {int(t): renderer.frame(int(t)) for t in np.unique(order)}
        y, x = np.nonzero(renderer.mask(0))
    edges = np.array([x.min(), y.min(), x.max(), y.max()]) + _MARGIN_PX * np.array([-1, -1, 1, 1])
    x0, y0, x1, y1 = edges.clip(0, CROP_SIZE - 1).tolist()
    return FilmedEpisode([shown[int(t)] for t in order], np.arange(config.steps + 1) / config.rate_hz, (x0, y0, x1, y1))


def _measure(config: RewardSpeedConfig, predictor: Predictor, episode: FilmedEpisode) -> dict[str, Any]:
    """Seconds of every way, and how far their rewards lie apart."""
    late, early, finishing, frames = [], [], [], []
    for _ in range(config.rounds):
        start = time.perf_counter()
        expected = afterwards(config, predictor, episode)
        late.append(time.perf_counter() - start)
        found, seconds, last, kept = meanwhile(config, predictor, episode)
        early.append(found)
        frames += seconds
        finishing.append(last)
    latency: dict[str, float] = {"afterwards": float(np.median(late)), "streaming": float(np.median(finishing))}
    latency["ratio"] = latency["afterwards"] / latency["streaming"]
    if config.paced:
        found, latency["process_s"] = in_process(config, predictor, episode)
        early.append(found)
    p50, p95 = np.quantile(frames, (0.5, 0.95))
    return {
        "latency_s": latency,
        "frame_s": {"p50": float(p50), "p95": float(p95), "most": max(frames)},
        "difference": max(float(np.abs(one - expected).max()) for one in early),
        "kept_bytes_a_step": kept // config.steps,
        "mean_agreement": float(expected.mean()),
    }


def afterwards(config: RewardSpeedConfig, predictor: Predictor, episode: FilmedEpisode) -> NDArray[np.float32]:
    """The reward [T] of the whole episode: masks, tracks, predictions."""
    from mpr.predictor.predicted import PredictedDeltas
    from mpr.reward.scoring import agreements, score_moving
    from tracking.clips.from_video import CARRIED, track_masked
    from tracking.masks.box_mask import CarriedMasks
    from tracking.masks.lost import HeldMasks
    from tracking.trackers.lucas_kanade import LucasKanade

    source = ClipSource("bench", config.task, 0.0, float(episode.times[-1]), "", "made here", CARRIED, "lucas_kanade")
    masks = HeldMasks(episode.frames, CarriedMasks(episode.frames, episode.box), episode.times, 0)
    clip = track_masked(episode.frames, masks, episode.times, config.rate_hz, LucasKanade(), source, _WHOLE)
    return agreements(score_moving(clip, PredictedDeltas(predictor), MOTION_THRESHOLD_PX), MOTION_THRESHOLD_PX)


def meanwhile(
    config: RewardSpeedConfig, predictor: Predictor, episode: FilmedEpisode
) -> tuple[NDArray[np.float32], list[float], float, int]:
    """The same frame by frame: rewards [T], seconds of each frame, seconds after the last, bytes kept."""
    from mpr.reward.streaming import StreamedScore
    from tracking.masks.streamed import StreamedMasks
    from tracking.trackers.lucas_kanade import LucasKanade

    masks, score = StreamedMasks(episode.box), StreamedScore(predictor, LucasKanade(), _WHOLE, config.rate_hz)
    seconds = []
    for frame, time_s in zip(episode.frames, episode.times, strict=True):
        start = time.perf_counter()
        for one in masks.push(frame, float(time_s)):
            score.push(one)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    for one in masks.end():
        score.push(one)
    kept = score.kept_bytes
    rewards = score.finish()
    return rewards, seconds, time.perf_counter() - start, kept


def in_process(
    config: RewardSpeedConfig, predictor: Predictor, episode: FilmedEpisode
) -> tuple[NDArray[np.float32], float]:
    """The same in a process of its own, each frame at its time: rewards [T], seconds after the last frame."""
    with StreamingReward(predictor, StreamedObject(episode.box, _WHOLE, config.rate_hz)) as reward:
        reward.begin()
        start = time.perf_counter()
        for frame, time_s in zip(episode.frames, episode.times, strict=True):
            time.sleep(max(0.0, start + float(time_s) - time.perf_counter()))
            reward.frame(frame, float(time_s))
        last = time.perf_counter()
        return reward.finish(), time.perf_counter() - last
