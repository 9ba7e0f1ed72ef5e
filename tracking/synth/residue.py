"""`mpr bench camera`: what each compensation leaves of a camera's motion, on synthetic clips, where it is known.

The truth: every surface point stands still from frame t to t+1 and the camera alone moves on. What a compensation
leaves is its mean distance in crop pixels from that, over a transition's object points, where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tracking.clip import Square
from tracking.compensation import Compensation, camera_motion
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.mujoco_scene import RecordedScene
from tracking.points import Transition
from tracking.runs import RunFolder
from tracking.store import clip_folders, load_clip, load_recording

WAYS: tuple[Compensation, ...] = get_args(Compensation)


@dataclass(frozen=True)
class CameraBench:
    """Measures what each camera compensation leaves, on clips of `mpr synth` (or those, tracked again)."""

    clips: Path = Path("data/microwave")  # folder of synthetic clips
    most: int = 30  # clips looked at, the first of them
    every: int = 3  # transitions looked at: every so manieth
    out: Path = Path("runs/bench_camera")  # run folder

    def __post_init__(self) -> None:
        if self.most < 1 or self.every < 1:
            raise UserError("mpr bench camera: --most and --every are at least 1")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench camera`: metrics.jsonl has a row a transition. Raises UserError."""
    config, dry_run = parse(CameraBench, argv, "mpr bench camera")
    if dry_run:
        return print_plan(config, {"clips": config.clips}, {"compensations": ", ".join(WAYS)}, config.out)
    folders = clip_folders(config.clips)[: config.most]
    run = RunFolder(config.out, "bench camera", as_dict(config))
    run.keep_metrics(lambda row: False)
    rows = []
    for folder in tqdm(folders, desc="clips", unit="clip", disable=None):
        for row in residues(folder, config.every):
            run.log(**row)
            rows.append(row)
    left = np.array([[row[how] for how in WAYS] for row in rows]).reshape(-1, len(WAYS))
    if not len(left):
        raise UserError(f"mpr bench camera: no clip in {config.clips} shows object and background together")
    summary = {how: np.percentile(left[:, i], (50, 90, 99)).round(3).tolist() for i, how in enumerate(WAYS)}
    mean = left.mean(0).round(3).tolist()
    run.finish({"transitions": len(left), "mean": dict(zip(WAYS, mean, strict=True)), "p50_p90_p99": summary})
    print(f"{len(left)} transitions of {len(folders)} clips; pixels left on the object: mean, p50, p90, p99")
    for how, average in zip(WAYS, mean, strict=True):
        print(f"{how:<10} {average:6.3f} " + " ".join(f"{value:6.3f}" for value in summary[how]))


def residues(folder: Path, every: int = 1) -> Iterator[dict[str, float | str | int]]:
    """Of each looked-at transition that has object and background points: what each compensation leaves, in pixels.

    Raises UserError for a clip without a recording of its scene.
    """
    clip, recording = load_clip(folder), load_recording(folder)
    if recording is None:
        raise UserError(f"clip folder {folder} holds no scene recording: its camera is not known")
    scene = RecordedScene(recording)
    for t in range(0, len(clip.times) - 1, every):
        transition = Transition(clip, t)
        if transition.object.any() and transition.background.any():
            truth = camera_truth(scene, clip.crop, transition.before[transition.object], t)
            off = {how: camera_motion(transition, how)[transition.object] - truth for how in WAYS}
            yield {
                "clip": folder.name,
                "t": t,
                **{how: round(float(np.linalg.norm(off[how], axis=1).mean()), 4) for how in WAYS},
            }


def camera_truth(scene: RecordedScene, crop: Square, points: NDArray, t: int) -> NDArray[np.float64]:
    """What the camera alone moves crop points [N, 2] by from frame t to t+1, in crop pixels [N, 2].

    The surface that is seen at a point stands still meanwhile. Means nothing where none is seen.
    """
    source, camera = crop.to_source(points.astype(np.float64)), scene.recording.camera
    _, distance = scene.cast(source, t)
    world = camera.positions[t] + camera.rays(source, t) * distance[:, None]
    return crop.to_crop(camera.project(world, t + 1)[0]) - points
