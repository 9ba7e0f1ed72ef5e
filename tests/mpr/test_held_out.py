"""The held-out figure measures the predictor: against the true motion where it is known, and it says so where not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mpr.commands.train import main
from mpr.core.data.clip import TrackedClip
from mpr.core.data.clip_folder import save_clip
from mpr.core.errors import UserError
from mpr.training.held_out import HELD_OUT_ROWS, compare_with_null_models, predict_probes, validate
from mpr.training.held_out_page import held_out_summary, held_out_table, page
from mpr.training.metrics import probe_figures, residue_share
from mpr.training.probes import known_scenes, probes
from mpr.training.shown import exchanged
from tests.toy_clips import square_clip, toy_clip
from tests.toy_scenes import built, record, scene_clip  # noqa: F401

pytestmark = pytest.mark.usefixtures("built")


class Looker:
    """A stand-in for a Predictor that keeps what it was shown. It says that every point goes right by the
    brightness of the frame, and down by how much brighter the frame is than the one before."""

    budget, fill = 300, "repeat"

    def __init__(self) -> None:
        self.shown: list[NDArray] = []

    def encode(self, frames: NDArray) -> torch.Tensor:
        self.shown += list(frames)
        return torch.from_numpy(frames.reshape(len(frames), -1).mean(1)).float()[:, None, None]

    def predict(self, tokens: torch.Tensor, points: NDArray, progress: NDArray, valid: NDArray) -> NDArray:
        before, now = tokens[:, 0, 0].numpy(), tokens[:, 1, 0].numpy()
        return np.stack([now, now - before], -1)[:, None].repeat(points.shape[1], 1)


def shade(value: int, slope: int = 0, length: int = 6, group: str = "") -> TrackedClip:
    """A toy clip whose frame t has brightness value + slope * t everywhere."""
    clip = toy_clip(value, length=length, group=group or f"g{value}")
    frames = np.stack([np.full((32, 32, 3), value + slope * t, np.uint8) for t in range(length)])
    return TrackedClip(frames, clip.masks, clip.segments, clip.times, clip.rate_hz, clip.crop, clip.source)


@pytest.mark.parametrize("compensate", ["mean", "affine"])
def test_a_predictor_that_knows_the_motion_scores_one_which_the_compensated_figure_hides(compensate: Any) -> None:
    """Three of four points that compensation moves are on the body, which stands still."""
    recordings = [record(8, start=2), record(8, speed=-0.02)]
    clips = [scene_clip(recording) for recording in recordings]
    asked = probes(clips, 300, compensate, recordings=recordings)
    knowing = [np.nan_to_num(p.target) for p in asked]
    found = probe_figures(asked, knowing)
    assert found.agreement.value == pytest.approx(1) and found.error_px.value == 0 and found.agreement.n == 2
    assert np.isnan(found.contrast.value)  # it moves nothing that stands still
    compensated = probes(clips, 300, compensate)
    assert probe_figures(compensated, knowing).agreement.value < 0.3
    assert sum(p.moving.sum() for p in compensated) > 3 * sum(p.moving.sum() for p in asked)
    residue = [p.target for p in compensated]  # a predictor of the residue knows the door, and moves the body too
    assert probe_figures(compensated, residue).agreement.value == pytest.approx(1)
    assert probe_figures(asked, residue).contrast.value < 5


def test_what_counts_as_moving_still_and_at_rest() -> None:
    recording = record(8, start=3)
    asked = probes([scene_clip(recording)], 300, "affine", recordings=[recording])
    assert [bool(p.moving.any()) for p in asked] == [t >= 3 for t in range(7)]
    assert [p.at_rest for p in asked] == [t <= 3 for t in range(7)]
    assert all(p.true and p.known.all() and (p.moving | p.still).all() for p in asked)
    half = [np.where(p.moving[:, None], (2.0, 0.0), (1.0, 0.0)) for p in asked]
    found = probe_figures(asked, half)
    assert found.contrast.value == pytest.approx(2) and found.agreement.value == pytest.approx(1, abs=1e-4)
    slow = record(8, speed=0.002)  # a fifth of a pixel: neither moving nor still
    (one, *_) = probes([scene_clip(slow)], 300, recordings=[slow])
    assert not one.moving.any() and 0 < one.still.sum() < len(one.still)


def test_unknown_points_enter_no_figure() -> None:
    recording = record(4)
    asked = probes([scene_clip(recording)], 300, recordings=[recording])
    right = [p.target.copy() for p in asked]
    for p in asked:
        p.target[1::2] = np.nan
    for wrong in (1e6, 0.0):
        shown = [np.where(p.known[:, None], r, wrong) for p, r in zip(asked, right, strict=True)]
        found = probe_figures(asked, shown)
        assert found.agreement.value == pytest.approx(1) and found.error_px.value == 0


def test_intervals_are_over_clips() -> None:
    """All right in one clip and all wrong in the other is 0.5, and nothing is known of a third."""
    recordings = [record(8), record(8)]
    asked = probes([scene_clip(r) for r in recordings], 300, recordings=recordings)
    split = [p.target * (1 if p.clip else -1) for p in asked]
    found = probe_figures(asked, split).agreement
    assert found.value == pytest.approx(0.5, abs=0.05) and found.low < 0.05 and found.high > 0.95 and found.n == 2
    alone = probe_figures([p for p in asked if p.clip], [p.target for p in asked if p.clip]).agreement
    assert alone.n == 1  # of the clips that are in it, whatever their numbers


def test_black_reversed_and_exchanged_images_go_through_the_predictor() -> None:
    clips = [shade(10, 1), shade(100, 2, length=11)]
    asked, looker = probes(clips, 300), Looker()
    of = dict(zip(("own", "reversed", "black", "exchanged"), (
        [delta[0] for delta in kind]
        for kind in predict_probes(looker, clips, asked, ("own", "reversed", "black", "exchanged"))  # type: ignore[arg-type]
    ), strict=True))  # fmt: skip
    for k, p in enumerate(asked):
        value, slope = ((10, 1), (100, 2))[p.clip]
        np.testing.assert_allclose(of["own"][k], [value + slope * p.t, slope * (p.t > 0)])
        np.testing.assert_allclose(of["reversed"][k], [value + slope * p.t, -slope])
        np.testing.assert_allclose(of["black"][k], [0, 0])
    first, last = asked[0], asked[-1]
    np.testing.assert_allclose(of["exchanged"][0], [100, 0])  # as far through the other clip
    assert (first.t, last.t) == (0, 9) and of["exchanged"][-1][0] == 10 + round(9 * 5 / 10)
    assert any(not frame.any() for frame in looker.shown)
    assert len(looker.shown) == 6 + 11 + 1  # each frame is read once, whoever is shown it


def test_exchanged_images_are_another_groups() -> None:
    a, b, c, d = shade(1, group="x"), shade(2, group="x"), shade(3, group="y"), shade(4, group="y")
    assert exchanged([a, b, c]) == [2, 2, 0]
    assert exchanged([a, b], [shade(5, group="x"), c, d]) == [3, 3]
    assert exchanged([a, b]) is None
    rows = compare_with_null_models(Looker(), [a, b], np.zeros(2))[0].rows  # type: ignore[arg-type]
    assert list(rows) == [name for name in HELD_OUT_ROWS if name != "exchanged images"]


def test_clips_without_a_truth_say_so_and_are_never_mixed_with_others() -> None:
    recording = record(8)
    clips = [toy_clip(0, length=6), scene_clip(recording), toy_clip(2, length=6)]
    looker, motion = Looker(), np.array([1.0, 0.0], np.float32)
    true, other = compare_with_null_models(looker, clips, motion, recordings=[None, recording, None])  # type: ignore[arg-type]
    assert (true.target, true.clips, other.target, other.clips) == ("true motion", 1, "compensated motion", 2)
    assert list(true.rows) == list(other.rows) == list(HELD_OUT_ROWS)
    assert true.rows["oracle"].agreement.value == other.rows["oracle"].agreement.value == pytest.approx(1)
    assert true.rows["zero motion"].agreement.value == 0 and true.rows["zero motion"].agreement.n == 1
    assert true.rows["mean training motion"].contrast.value == pytest.approx(1)
    text = page([true, other])
    assert text.index("Against the true motion: 1 held-out clip,") < text.index("Against the compensated motion: 2")
    assert "truly moves is not known in these clips" in text.split("### ")[2] and "–" not in str(other.residue)
    assert "truly moves is not known" not in page([true])
    kept = held_out_summary([true, other])
    assert kept["held_out"]["oracle"]["agreement"]["n"] == 1
    assert kept["held_out_compensated"]["oracle"]["agreement"]["n"] == 2
    assert [one["target"] for one in kept["held_out_against"]] == ["true motion", "compensated motion"]
    assert "residue_share" in kept["held_out_against"][1]
    json.dumps(kept)
    row = validate(looker, clips, recordings=[None, recording, None])  # type: ignore[arg-type]
    assert repr(row) == repr(true.rows["predictor"])  # one clip has no interval: NaN, which equals nothing


def test_held_out_clips_that_never_show_the_object_say_so() -> None:
    clip = toy_clip(0, length=4)
    blind = dataclasses.replace(clip, masks=np.zeros((4, 256, 256), bool))  # type: ignore[arg-type]
    assert page(compare_with_null_models(Looker(), [blind], np.zeros(2))).startswith("No step of a held-out clip")  # type: ignore[arg-type]
    assert np.isnan(validate(Looker(), [blind]).agreement.value)  # type: ignore[arg-type]
    assert held_out_summary([]) == {"held_out": {}, "held_out_against": []}


def test_every_column_and_row_is_told_in_words_with_its_unit() -> None:
    (one,) = compare_with_null_models(Looker(), [toy_clip(0, length=5), toy_clip(1, length=5)], np.ones(2))  # type: ignore[arg-type]
    text = page([one])
    for name in HELD_OUT_ROWS:
        assert f"\n- {name}: " in text and f"| {name} |" in held_out_table(one)
    heads = held_out_table(one).splitlines()[0].split("|")[2:-1]
    assert [("(" in head, f"- **{head.strip()}**: " in text) for head in heads] == [(True, True)] * 4
    assert "{" not in text


def test_scenery_that_moves_beside_an_object_tells_of_residue() -> None:
    """The scenery's left quarter goes down: the mean takes too little out there and too much everywhere else."""
    still = square_clip(np.tile([90.0, 80.0], (5, 1)))

    (segment,) = still.segments
    points = segment.points.copy()
    points[:, points[0, :, 0] < 60] += np.arange(5)[:, None, None] * np.array([0, 8], np.float32)
    shifted = dataclasses.replace(still, segments=(dataclasses.replace(segment, points=points),))
    assert residue_share(probes([shifted], 300)).value == 1  # nothing here moves by itself
    moving = toy_clip(0, length=6, drift=(0.0, 0.0))
    assert residue_share(probes([moving], 300)).value == 0
    assert np.isnan(residue_share(probes([toy_clip(0, length=5, speed=0, drift=(0, 0))], 300)).value)


def test_scenes_that_cannot_be_built_are_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [scene_clip(record()), toy_clip(1, length=6), scene_clip(record())]
    for k, (clip, recording) in enumerate(zip(clips, [record(), None, record(4)], strict=True)):
        save_clip(clip, tmp_path / f"c{k}", recording)
    folders = sorted(tmp_path.glob("c*"))
    found, reasons = known_scenes(clips, folders)
    assert [one is not None for one in found] == [True, False, False] and len(reasons) == 1
    monkeypatch.undo()  # now no entry point builds the scene 'toy'
    found, reasons = known_scenes(clips, folders)
    assert found == [None] * 3 and "no scene 'toy'" in reasons[0]


def test_train_prints_and_keeps_the_figures_of_true_motion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(4):
        recording = record(6, speed=0.02 * (-1) ** k)
        save_clip(scene_clip(recording, f"c{k}"), tmp_path / "clips" / f"c{k}", recording)
    argv = ["--clips", str(tmp_path / "clips"), "--out", str(tmp_path / "run"), "--image", "32", "--points", "12"]
    main([*argv, "--batch", "4", "--steps", "4", "--validate_every", "2", "--device", "cpu", "--val_share", "0.5"])
    shown = capsys.readouterr().out
    assert "held-out clips whose true motion is known: 2 of 2\n" in shown
    text = (tmp_path / "run" / "held_out.md").read_text()
    assert text in shown and text.startswith("### Against the true motion: 2 held-out clips")
    assert text.strip() in (tmp_path / "run" / "model_card.md").read_text()
    kept = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert list(kept["held_out"]) == list(HELD_OUT_ROWS) and kept["held_out_against"][0]["target"] == "true motion"
    assert kept["held_out"]["oracle"]["agreement"]["value"] == pytest.approx(1)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert set(rows[1]) == {"step", "loss", "val_agreement", "val_contrast", "val_rest_agreement", "val_error_px"}


def test_where_nothing_moves_the_page_says_so_and_where_nothing_stands_still_that_is_a_reason() -> None:
    still = [toy_clip(k, length=4, speed=0, drift=(0, 0)) for k in range(2)]
    (one,) = compare_with_null_models(Looker(), still, np.zeros(2))  # type: ignore[arg-type]
    assert np.isnan(one.rows["oracle"].agreement.value) and one.moving == 0
    assert "No point moves so far in these clips: nothing can be said of the predictor" in page([one])
    (other,) = compare_with_null_models(Looker(), [toy_clip(0, length=4)], np.ones(2))  # type: ignore[arg-type]
    assert other.moving > 0 and "No point moves" not in page([other])
    assert "–: there are no still points, or it predicts no motion on them" in page([other])


def test_train_says_why_no_clip_is_left_and_that_others_are_held_out(tmp_path: Path) -> None:
    for k, clip in enumerate([toy_clip(0, length=6), toy_clip(1, length=6, speed=0, drift=(0, 0))]):
        save_clip(clip, tmp_path / "clips" / f"c{k}")
    asked = ["--clips", str(tmp_path / "clips"), "--image", "32", "--points", "12", "--steps", "1", "--device", "cpu"]
    with pytest.raises(UserError, match=r"^each of 2 clips is shorter than one step of --rate_hz 0\.5"):
        main([*asked, "--rate_hz", "0.5", "--out", str(tmp_path / "slow")])
    with pytest.raises(UserError, match=r"the 1 clips to train on .others are held out. of .* moving scene"):
        main([*asked, "--seed", "1", "--out", str(tmp_path / "still")])
