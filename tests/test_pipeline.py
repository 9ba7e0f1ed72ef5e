"""The whole reward line in miniature, through the commands a user types, and what a second run of each does."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from mpr.cli import main
from mpr.core.checksums import write_sums

pytestmark = pytest.mark.gl


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Clips, a predictor of three steps and an episode, made once."""
    home = tmp_path_factory.mktemp("line")
    clips, run, episodes = str(home / "clips"), str(home / "predictors" / "microwave"), str(home / "episodes")
    assert main(["synth", "--task", "open_microwave", "--clips", "3", "--seed", "7", "--out", clips]) == 0
    train = ["train", "--clips", clips, "--steps", "3", "--batch", "2", "--points", "12", "--out", run]
    assert main(train) == 0
    episode = ["episodes", "--task", "microwave", "--kind", "opening", "--episodes", "1", "--seed", "500000"]
    assert main([*episode, "--view", "front", "--out", episodes]) == 0
    return home


def score(home: Path, *more: str) -> Path:
    out = home / f"score{len(list(home.glob('score*')))}"
    assert main(["score", "--predictor", str(home / "predictors" / "microwave"), "--out", str(out), *more]) == 0
    return out


def test_an_episode_is_scored_the_same_twice(home):
    episode = str(next((home / "episodes").glob("episode_*")))
    one, two = (score(home, "--episode", episode, "--film", "false") for _ in range(2))
    assert (one / "steps.csv").read_bytes() == (two / "steps.csv").read_bytes()
    with (one / "steps.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    moved = [float(r["moved_share_0.5"]) for r in rows]
    agreed = [float(r["agreement_0.5"]) for r in rows]
    assert max(moved) > 0.05 and all(0 <= a <= m + 1e-6 for a, m in zip(agreed, moved, strict=True))
    summary = json.loads((one / "summary.json").read_text())
    assert set(summary["agreement_change_with"]) == {"progress_0.0", "progress_0.5", "progress_1.0"}
    assert (one / "strip.png").stat().st_size > 50_000


def test_a_clip_is_tracked_again_and_scored_with_its_camera_taken_out(home):
    again = home / "again"
    assert main(["track", "--clips", str(home / "clips"), "--out", str(again)]) == 0
    before = files(again)
    assert main(["track", "--clips", str(home / "clips"), "--out", str(again)]) == 0  # resumes: nothing is redone
    assert {k: v for k, v in files(again).items() if k in before} == before
    out = score(home, "--clip", str(next(again.glob("*/clip.json")).parent), "--compensate", "mean", "--film", "false")
    assert json.loads((out / "summary.json").read_text())["tracker"] == "lucas_kanade"


def test_the_direction_experiment_in_miniature_and_resumed(home, capsys):
    out = home / "direction"
    asked = ["experiment", "direction", "--predictors", str(home / "predictors"), "--tasks", "[microwave]"]
    asked += ["--kinds", "[opening]", "--trackers", "[exact]", "--episodes", "2", "--seed", "500000"]
    asked += [
        "--rows",
        "[motion, true_motion, any_motion, black_images]",
        "--view",
        "front",
        "--workers",
        "1",
        "--out",
        str(out),
    ]
    assert main(asked) == 0
    raw = out / "raw" / "microwave_opening_exact.csv"
    first, table = raw.read_bytes(), (out / "table.md").read_bytes()
    with raw.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["row"] for r in rows] == ["motion", "true_motion", "any_motion", "black_images"] * 2
    oracle = [r for r in rows if r["row"] == "any_motion"]
    assert all(r["agreement_0.5"] == r["share_0.5"] and float(r["share_0.5"]) > 0 for r in oracle)
    truth = [float(r["agreement_0.5"]) for r in rows if r["row"] == "true_motion"]  # exact tracks, a still camera
    # but for the points at a silhouette that are the arm's
    assert truth == pytest.approx([float(r["share_0.5"]) for r in oracle], rel=0.03)
    raw.unlink()  # as if killed before the scores were written: episodes and tracks are kept
    kept = (out / "tracks" / "exact" / "microwave_opening" / "episode_500000" / "clip.json").stat().st_mtime_ns
    assert main(asked) == 0
    assert raw.read_bytes() == first and (out / "table.md").read_bytes() == table
    assert (out / "tracks" / "exact" / "microwave_opening" / "episode_500000" / "clip.json").stat().st_mtime_ns == kept

    one = [*asked[: asked.index("--rows")], "--rows", "[black_images]", *asked[asked.index("--view") : -1]]
    assert main([*one, str(home / "one_row"), "--inputs", str(out)]) == 0  # a row alone, from the same tracks
    alone = (home / "one_row" / "raw" / raw.name).read_text().splitlines()
    assert alone[1:] == [line for line in first.decode().splitlines() if ",black_images," in line]


def test_scores_of_two_predictors_are_never_mixed(home, capsys):
    """Another predictor at the same path: its scores do not join a folder that holds the first one's."""
    predictors, out = home / "changing", home / "mixed"
    shutil.copytree(home / "predictors", predictors)
    asked = ["experiment", "direction", "--predictors", str(predictors), "--tasks", "[microwave]"]
    asked += ["--kinds", "[opening]", "--trackers", "[exact]", "--episodes", "2", "--seed", "500000"]
    asked += ["--rows", "[any_motion]", "--view", "front", "--workers", "1", "--out", str(out)]
    asked += ["--inputs", str(home / "inputs")]
    assert main(asked) == 0
    file = next(predictors.rglob("model.safetensors"))
    save_file({k: v + 1 for k, v in load_file(file).items()}, file)
    write_sums(file.parent)
    capsys.readouterr()
    assert main(asked) == 2
    assert "weights" in capsys.readouterr().err


def test_a_predictor_of_another_architecture_is_refused(home, capsys):
    run = home / "other"
    checkpoint = next((home / "predictors" / "microwave" / "checkpoints").iterdir())
    for file, data in files(checkpoint).items():
        (run / "checkpoints" / checkpoint.name).mkdir(parents=True, exist_ok=True)
        (run / "checkpoints" / checkpoint.name / file).write_bytes(data)
    about = run / "checkpoints" / checkpoint.name / "checkpoint.json"
    about.write_text(about.read_text().replace('"width": 128', '"width": 64'))
    (about.parent / "SHA256SUMS").unlink()
    clip = str(next((home / "clips").glob("*/clip.json")).parent)
    capsys.readouterr()
    assert main(["score", "--predictor", str(run), "--clip", clip, "--out", str(home / "no")]) == 2
    assert "of another architecture" in capsys.readouterr().err
