"""The direction experiment's table, from raw numbers made by hand."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpr.core.data.clip_folder import save_clip
from mpr.core.errors import UserError
from mpr.predictor.checkpoint import Predictor
from mpr.reward.agreement import MOTION_THRESHOLDS_PX
from rl.environments.kitchen import config
from rl.experiments.direction import DIRECTION_KINDS, DirectionConfig
from rl.experiments.direction_stages import models, track_unit
from rl.experiments.direction_table import DirectionRaw, direction, opening_minus_closing, write_table
from tests.toy_clips import square_clip
from tracking.motion.points import Transition

Rows = dict[str, tuple[float, float]]
ROWS: Rows = {
    "motion": (0.8, 0.1),
    "any_motion": (1.0, 1.0),
    "random_direction": (0.32, 0.32),
}


def write_raw(
    folder, miss: float = 0.0, per_kind: int = 20, rows: Rows = ROWS, kinds=("opening", "closing", "miss")
) -> None:
    (folder / "raw").mkdir(parents=True)
    sums = [f"{name}_{moved}" for moved in MOTION_THRESHOLDS_PX for name in ("agreement", "share")]
    for tracker in ("exact", "lucas_kanade"):
        with (folder / "raw" / f"microwave_{tracker}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            columns = ["task", "kind", "tracker", "row", "episode", "view", "steps", "steps_without_points"]
            writer.writerow([*columns, *sums])
            for row, (opening, closing) in rows.items():
                for kind in kinds:
                    ratio = {"opening": opening, "closing": closing}.get(kind)
                    for i in range(per_kind):
                        share = 10.0 + i if ratio is not None else 0.0
                        agreement = share * ratio if ratio is not None else 100 * miss
                        view = "held_out_one" if i % 2 else "front"
                        numbers = [agreement, share] * 3
                        writer.writerow(["microwave", kind, tracker, row, i, view, 100, 0, *numbers])


def test_figures_and_aims(tmp_path):
    write_raw(tmp_path)
    raw = DirectionRaw(tmp_path)
    at = {"tracker": "exact", "task": "microwave", "row": "motion"}
    assert direction(raw, {**at, "kind": "opening"}).value == pytest.approx(0.8)
    assert direction(raw, {**at, "kind": "opening"}, views="held_out").n == 10
    assert opening_minus_closing(raw, at).value == pytest.approx(0.7)
    summary = write_table(tmp_path)
    assert all(met for _, met in summary["microwave, exact"].values())
    text = (tmp_path / "table.md").read_text()
    assert "| motion | 0.80 [0.56, 0.94] | 0.10 [0.01, 0.32] | 0.70 [" in text
    assert "held-out cameras" in text and "threshold 0.25 px" in text and "nan" not in text


def test_the_table_has_every_kind_of_episode():
    assert sorted(DIRECTION_KINDS) == sorted(config.EPISODE_KINDS)


def test_an_aim_that_is_missed_is_said(tmp_path):
    write_raw(tmp_path, miss=0.05)
    summary = write_table(tmp_path)
    figure, met = summary["microwave, lucas_kanade"]["miss <= 0.02"]
    assert not met and figure.startswith("0.0500")
    assert "**no**" in (tmp_path / "table.md").read_text()


def test_a_comparison_that_was_not_made_is_not_called_met(tmp_path):
    """With `motion` alone, whether it is above the baselines is unknown; above a better baseline it is not."""
    aim = "opening - closing above every baseline"
    write_raw(tmp_path / "alone", rows={"motion": (0.8, 0.1)})
    assert write_table(tmp_path / "alone")["microwave, exact"][aim][1] is None
    write_raw(tmp_path / "short", kinds=("opening", "closing"))
    figure, met = write_table(tmp_path / "short")["microwave, exact"]["miss <= 0.02"]
    assert met is None and figure == "–" and "nan" not in (tmp_path / "short" / "table.md").read_text()
    write_raw(tmp_path / "oracle", rows={"motion": (0.8, 0.1), "true_motion": (1.0, 0.0), "any_motion": (1.0, 1.0)})
    assert write_table(tmp_path / "oracle")["microwave, exact"][aim][1] is True  # an oracle is no baseline
    write_raw(tmp_path / "beaten", rows={"motion": (0.8, 0.1), "mean_motion": (0.9, 0.1)})
    assert write_table(tmp_path / "beaten")["microwave, exact"][aim][1] is False


def test_each_row_shows_the_predictor_its_own_images():
    """A predictor that sees nothing but brightness: dark for black images, the other clip's for the other's."""
    clip, other = square_clip(np.tile([[60, 60]], (4, 1)), seed=1), square_clip(np.tile([[60, 60]], (7, 1)), seed=2)

    class Brightness(Predictor):
        def __init__(self) -> None:
            self.budget, self.rate_hz, self.fill, self.card = 12, 12.5, "repeat", {"mean_motion": [0.0, 1.0]}
            self.seen: list[float] = []

        def tokens(self, previous, now):
            self.seen += [float(image.mean()) for image in (*previous, *now)]
            return torch.zeros(len(now), 1, 1)

        def predict(self, tokens, points, progress, valid):
            return np.zeros_like(points)

    seen = {}
    for row in ("motion", "black_images", "other_images"):
        predictor = Brightness()
        models([row], predictor, 0, other)[row](clip, [Transition.of(clip, 2)])
        seen[row] = predictor.seen
    assert seen["motion"] == [clip.frames[t].mean() for t in (1, 2)]
    assert seen["black_images"] == [0, 0]
    assert seen["other_images"] == [other.frames[t].mean() for t in (2, 4)]  # at the same progress
    assert seen["motion"] != seen["other_images"]


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no scores yet"):
        write_table(tmp_path)


def test_clips_in_a_square_of_their_own_are_not_scored_beside_ours(tmp_path):
    pytest.importorskip("gymnasium_robotics")
    from rl.environments.kitchen.tasks import HINGE
    from rl.environments.kitchen.tracked import square

    config = DirectionConfig(out=tmp_path, trackers=["exact"])
    clip = square_clip(np.zeros((3, 2)) + 60)
    clip = replace(clip, source=replace(clip.source, extra={"view": "left"}))
    (config.episode_folder("hinge", "opening") / "one").mkdir(parents=True)
    (config.episode_folder("hinge", "opening") / "one" / "episode.json").write_text("{}")
    save_clip(replace(clip, crop=square(HINGE, "left")), config.track_folder("hinge", "opening", "exact") / "one")
    track_unit((config, "hinge", "opening"))
    save_clip(clip, config.track_folder("hinge", "opening", "exact") / "one")
    with pytest.raises(UserError, match=r"one: an older version .* choose another --out"):
        track_unit((config, "hinge", "opening"))
