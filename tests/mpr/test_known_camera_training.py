"""Training and scoring with the simulator's own camera taken out: clean labels, what the card says, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import load_clip, load_recording, save_clip
from mpr.predictor.inputs import in_pixels
from mpr.training.loop import Samples
from tests.toy_scenes import built, record, scene_clip  # noqa: F401
from tracking.motion.known_camera import with_known_camera
from tracking.motion.points import transitions
from tracking.motion.true_motion import TrueMotion

pytestmark = pytest.mark.usefixtures("built")
SMALL = ["--image", "32", "--points", "12", "--batch", "4", "--steps", "2", "--device", "cpu", "--val_share", "0.3"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for k in range(3):
        recording = record(6, start=k)
        save_clip(scene_clip(recording, f"c{k}"), tmp_path / "clips" / f"c{k}", recording)
    return tmp_path / "clips"


def true_mean(folder: Path) -> tuple[np.ndarray, int]:
    """Sum of the true motion [2] of a clip's object points, and their number."""
    clip, recording = load_clip(folder), load_recording(folder)
    assert recording is not None
    truth = TrueMotion(clip, recording)
    found = [truth(x.before[x.object], x.t, x.t + 1)[0] for x in transitions(clip)]
    return np.concatenate(found).sum(0), sum(map(len, found))


def test_training_learns_true_motion_and_the_card_says_so(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert mpr(["train", "--clips", str(clips), "--out", str(out), "--compensate", "known", *SMALL]) == 0
    card = json.loads((out / "model_card.json").read_text())
    assert "taken out: known, the simulator's own camera" in (out / "model_card.md").read_text()
    trained_on = [clips / name for name in card["data"]["groups"]]
    sums, counts = zip(*map(true_mean, trained_on), strict=True)
    assert card["mean_motion"] == pytest.approx(list(np.sum(sums, 0) / sum(counts)), abs=1e-3)
    assert card["mean_motion"][0] > 0.2 and abs(card["mean_motion"][1]) < 1e-3  # the door goes to the right


def test_a_sample_of_a_still_scene_asks_for_no_motion(clips: Path) -> None:
    """The third clip's door moves from frame 2 on: of its first step every point's target is where it is."""
    folder = clips / "c2"
    recording = load_recording(folder)
    assert recording is not None
    clip = with_known_camera(load_clip(folder), recording)
    sample = Samples([clip], 60, seed=0, compensate="known").sample(clip, 0, np.random.default_rng(0))
    assert sample["valid"].all() and np.abs(in_pixels(sample["target"] - sample["points"])).max() < 1e-3
    still = Samples([clip], 60, seed=0, compensate="affine").sample(clip, 0, np.random.default_rng(0))
    assert np.abs(in_pixels(still["target"] - still["points"])).max() > 0.1  # what a fit leaves


def test_a_clip_is_scored_with_its_camera_taken_out(clips: Path, tmp_path: Path) -> None:
    asked = ["score", "--clip", str(clips / "c2"), "--reward", "any_motion", "--film", "false"]
    assert mpr([*asked, "--compensate", "known", "--out", str(tmp_path / "known")]) == 0
    assert mpr([*asked, "--out", str(tmp_path / "none")]) == 0
    shares = {}
    for name in ("known", "none"):
        with (tmp_path / name / "steps.csv").open() as file:
            shares[name] = [float(row["moved_share_0.5"]) for row in csv.DictReader(file)]
    assert shares["known"][:2] == [0, 0] and min(shares["known"][2:]) > 0 and max(shares["known"]) < 0.6
    assert min(shares["none"]) > 0.9  # the head moves all of it


def test_what_knows_no_camera_is_refused_and_leaves_nothing(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_clip(scene_clip(record(), "filmed"), clips / "filmed")
    out, known = tmp_path / "run", ["--compensate", "known"]
    video = ["--video", "film.mp4", "--box", "1,2,3,4"]
    for asked, said in (
        (["train", "--clips", str(clips), *SMALL], "1 of 4 clips hold no scene recording (filmed)"),
        (["score", "--clip", str(clips / "filmed"), "--reward", "any_motion"], "1 of 1 clips hold no scene recording"),
        (["score", *video, "--reward", "any_motion"], "how the camera of a video moved is not known"),
    ):
        assert mpr([*asked, *known, "--out", str(out)]) == 2
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1 and not (out / "config.yaml").exists()
