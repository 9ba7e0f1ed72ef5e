"""What the fuzz of damaged files damages: small whole folders, and the commands that read them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpr.cli import main as mpr
from mpr.core.checkpoints import last_checkpoint
from mpr.core.checksums import CHECKSUM_FILE, sha256, write_sums
from mpr.core.data.clip_folder import save_clip
from mpr.core.data.episode_folder import save_episode
from mpr.core.data.step_log import StepLog
from mpr.representations.checkpoint import load_representation
from mpr.representations.temporal_distance import DistanceHead
from rl.data.demonstrations import save_demonstration
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.evaluate import open_evaluation
from rl.policies.diffusion import sizes as bc
from rl.policies.diffusion.checkpoint import load_diffusion_policy
from rl.residual import checkpoint as residual
from robot.commands.export import FORMATS
from tests.rl.sac_runs import train
from tests.toy_clips import toy_clip
from tests.toy_demonstrations import toy_demonstration
from tests.toy_reach import SMALL, learner
from tests.toy_robot_episodes import robot_episode
from tests.tracking.test_epic import HEADING, ROWS

SIZE = ["--image", "32", "--points", "12", "--batch", "4", "--steps", "2", "--device", "cpu", "--strides", "1"]


@dataclass(frozen=True)
class Kind:
    """A folder to damage: how it is made, which of its files are changed, and what reads it."""

    make: Callable[[Path], None]
    files: Sequence[str]  # globs
    read: Callable[[Path, Path], object]  # (the folder, a place for output) -> exit status, or nothing
    count: int  # examples, times --examples
    sums: str = ""  # the folder below it, whose checksums are made right again for half of the examples


def epic(root: Path) -> None:
    (root / "EPIC_100_validation.csv").write_text(HEADING + ROWS)
    (root / "EPIC_100_noun_classes.csv").write_text("id,key,instances\n3,cupboard,\"['cupboard', 'door']\"\n")
    (root / "EPIC_100_video_info.csv").write_text("video_id,duration,fps,resolution\nP01_11,4000.5,59.94,1920x1080\n")


def find_epic(root: Path, out: Path) -> int:
    asked = ["--epic", str(root / "EPIC_100_validation.csv"), "--verb", "open"]
    return mpr(["find", *asked, "--check", "--sheet", "0", "--out", str(out)])


def robot_data(root: Path) -> None:
    session(root)
    ask = ["--episodes", str(root / "episodes"), "--name", "set", "--out", str(root / "made")]
    assert mpr(["robot", "export", *ask]) == 0
    shutil.move(root / "made" / "set", root / "set")
    for folder in ("episodes", "made"):
        shutil.rmtree(root / folder)


def find_lerobot(root: Path, out: Path) -> int:
    return mpr(["find", "--lerobot", str(root / "set"), "--check", "--sheet", "0", "--out", str(out)])


def clips(root: Path) -> None:
    for k in range(3):
        clip = toy_clip(k, length=5)
        source = dataclasses.replace(clip.source, start_s=0.0, stop_s=float(clip.times[-1]))
        save_clip(dataclasses.replace(clip, source=source), root / f"c{k}")


def find_clips(root: Path, out: Path) -> int:
    return mpr(["find", "--clips", str(root), "--check", "--sheet", "0", "--out", str(out)])


def score_clip(root: Path, out: Path) -> int:
    asked = ["--clip", str(root / "c0"), "--reward", "any_motion", "--film", "false"]
    return mpr(["score", *asked, "--out", str(out)])


def trained(root: Path) -> None:
    clips(root / "clips")
    assert resume(root, root) == 0


def resume(root: Path, _: Path) -> int:
    return mpr(["train", "--clips", str(root / "clips"), "--out", str(root / "run"), *SIZE])


def train_anew(root: Path, out: Path) -> int:
    return mpr(["train", "--clips", str(root), "--out", str(out), *SIZE])


def score_dry(root: Path, out: Path) -> int:
    asked = ["--predictor", str(root / "run"), "--clip", str(root / "clips" / "c1"), "--out", str(out), "--dry-run"]
    return mpr(["score", *asked])


def represented(root: Path) -> None:
    clips(root / "clips")
    assert pretrain_again(root, root) == 0


def pretrain_again(root: Path, _: Path) -> int:
    small = ["--image", "32", "--width", "8", "--batch", "2", "--steps", "2", "--objective", "temporal_distance"]
    return mpr(["pretrain", "--clips", str(root / "clips"), "--out", str(root / "run"), *small])


def read_representation(root: Path, _: Path) -> None:
    load_representation(root / "run", "temporal_distance", DistanceHead)


def policy(root: Path) -> None:
    for seed in range(2):
        save_demonstration(toy_demonstration(seed), root / "demos" / f"demonstration_{seed:06d}")
    before, bc.POLICY_SIZES["tiny"] = bc.POLICY_SIZES["tiny"], bc.PolicySize((8, 16), 24, 2, 4, (0.95, 0.999))
    try:
        assert resume_policy(root, root) == 0
    finally:
        bc.POLICY_SIZES["tiny"] = before


def resume_policy(root: Path, _: Path) -> int:
    before, bc.POLICY_SIZES["tiny"] = bc.POLICY_SIZES["tiny"], bc.PolicySize((8, 16), 24, 2, 4, (0.95, 0.999))
    try:
        asked = ["--demos", str(root / "demos"), "--out", str(root / "run"), "--size", "tiny", "--device", "cpu"]
        return mpr(["bc", *asked, "--warmup", "1"])
    finally:
        bc.POLICY_SIZES["tiny"] = before


def residual_run(root: Path) -> None:
    model = learner(policy_kwargs=SMALL)
    train(model, 1)
    about = {"residual_scale": 0.1, "env": "kitchen:microwave", "ddim_steps": 10, "ajar": False, "full_open": False}
    residual.save_residual_checkpoint(root / "run", 1, model, {**about, "base": "zero", "base_weights": ""})


def load_residual(root: Path, _: Path) -> None:
    residual.load_residual_policy(root / "run")
    folder = last_checkpoint(root / "run")
    assert folder is not None
    residual.restore_residual(folder, learner(policy_kwargs=SMALL))


def evaluation(root: Path) -> EvaluateConfig:
    from rl.environments.setting import ZERO

    return EvaluateConfig(base=ZERO, episodes=2, videos=0, out=root / "run")


def evaluated(root: Path) -> None:
    run = open_evaluation(evaluation(root))
    for seed in evaluation(root).seeds:
        run.log(policy="base", seed=seed, success=seed % 2 == 0, steps=9, opened=False, travel=0.1)
    run.finish({})


def evaluate_again(root: Path, _: Path) -> int:
    return mpr(["evaluate", "--base", "zero", "--episodes", "2", "--videos", "0", "--out", str(root / "run")])


def session(root: Path) -> None:
    rng = np.random.default_rng(0)
    about = {"arm": "simulated", "mark": "success", "fault": "", "overruns": 0}
    told = {"task": "open", "seed": 3, "rate_hz": 10.0, "about": about}
    told["log"] = StepLog(
        held=np.array(["", "guard", ""]),
        met=np.array(["speed", "", "speed, box"]),
        idle=np.zeros(3, bool),
        late_s=np.array([0.0, 0.1, 0.0]),
        stale={"world": np.array([False, True, False, False])},
    )
    for k in range(2):
        states = np.concatenate([rng.normal(size=(4, 3)), [[0.0, 0.0, 0.0, 1.0]] * 4, np.full((4, 1), 0.04)], 1)
        save_episode(robot_episode(k, 3, states=states, **told), root / "episodes" / f"episode_{k:06d}")


def replay(root: Path, out: Path) -> int:
    return mpr(["robot", "replay", "--episode", str(root / "episodes" / "episode_000001"), "--out", str(out)])


def export(root: Path, out: Path) -> int:
    kind = FORMATS[sha256(root / EPISODE / "arrays.npz")[0] < "8"]  # one or the other
    return mpr(["robot", "export", "--episodes", str(root / "episodes"), "--format", kind, "--out", str(out)])


def right_again(folder: Path) -> None:
    """Checksums of a damaged folder as if it had been written so."""
    if (folder / CHECKSUM_FILE).is_file():
        return write_sums(folder)
    about = folder / "clip.json"
    try:
        told = json.loads(about.read_text())
        told["sha256"] = {name: sha256(folder / name) for name in told["sha256"]}
        about.write_text(json.dumps(told))
    except (ValueError, RecursionError, KeyError, TypeError, OSError, AttributeError):
        return  # clip.json itself is what was damaged


def _checkpoint(name: str) -> str:
    return f"run/checkpoints/*/{name}"


EPISODE = "episodes/episode_000001"
KINDS = {
    "epic": Kind(epic, ["*.csv"], find_epic, 120),
    "lerobot": Kind(robot_data, ["set/meta/*.json", "set/meta/episodes/*/*", "set/README.md"], find_lerobot, 60),
    "clips found": Kind(clips, ["*/clip.json"], find_clips, 40),
    "clip scored": Kind(clips, ["c0/*.json", "c0/*.npz"], score_clip, 40, "c0"),
    "clips trained on": Kind(clips, ["c0/*.json", "c0/*.npz"], train_anew, 10, "c0"),
    "predictor": Kind(trained, [_checkpoint("*")], score_dry, 60, _checkpoint("")),
    "training resumed": Kind(trained, [_checkpoint("*"), "run/*.yaml", "run/*.jsonl"], resume, 10, _checkpoint("")),
    "representation": Kind(represented, [_checkpoint("*")], read_representation, 40, _checkpoint("")),
    "pretraining resumed": Kind(represented, [_checkpoint("*"), "run/*.yaml", "run/*.jsonl"], pretrain_again, 10,
                                _checkpoint("")),
    "policy": Kind(policy, [_checkpoint("*.json"), _checkpoint("model*")],
                   lambda r, _: load_diffusion_policy(r / "run"), 40, _checkpoint("")),
    "policy resumed": Kind(policy, [_checkpoint("*"), "run/*.yaml", "run/*.jsonl", "demos/*/*"], resume_policy, 10,
                           _checkpoint("")),
    "residual": Kind(residual_run, [_checkpoint("*")], load_residual, 30, _checkpoint("")),
    "run folder": Kind(evaluated, ["run/*.jsonl", "run/*.yaml"], evaluate_again, 40),
    "replay": Kind(session, [f"{EPISODE}/*.json", f"{EPISODE}/*.npz", f"{EPISODE}/{CHECKSUM_FILE}"], replay, 25,
                   EPISODE),
    "export": Kind(session, [f"{EPISODE}/*.json", f"{EPISODE}/*.npz", f"{EPISODE}/{CHECKSUM_FILE}"], export, 15,
                   EPISODE),
}  # fmt: skip
