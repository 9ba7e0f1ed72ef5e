"""Null models of one reward alone in `mpr bench rewards`: what they are made of, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import save_clip
from mpr.core.data.episode_folder import save_episode
from rl.environments.kitchen import goal_image
from rl.environments.kitchen.camera import view_names
from rl.environments.kitchen.tasks import MICROWAVE, SLIDE
from rl.reward_bench import models, pictures
from rl.reward_bench.config import RewardBenchConfig
from rl.reward_bench.report import all_figures, bench_summary, bench_table
from rl.reward_bench.scores import score_episode
from tests.rl.test_reward_bench import rows, toy_episode
from tests.toy_clips import toy_clip

OWN = ["vip_difference:pixels", "vip_difference:untrained", "vip_difference:other_goal"]


def test_pay_on_a_scale_of_its_own_is_compared_with_its_own_null_models_and_order_with_all() -> None:
    share = {"vip_difference": 0.02, OWN[0]: 0.004, OWN[1]: -0.01, OWN[2]: 0.002}  # of what moves, up or down
    made = rows()
    for row in [row for row in made if row.get("reward") == "any_motion"]:
        sign = (-1 if row["situation"] == "closing" else 1) * (1 + 0.01 * row["number"])
        for name, paid in share.items():
            made.append({**row, "reward": name, "scores": (0.5 + sign * paid * np.array(row["scores"])).tolist()})
    names = [*share, "any_motion", "wrong_direction"]
    figures = all_figures(made, names)
    told = bench_summary(figures, {})["rewards"]["vip_difference"]
    assert told["open"]["value"] == pytest.approx(0.022, abs=1e-3)
    assert told["open_minus_close"]["value"] == pytest.approx(2 * told["open"]["value"])
    assert told["null_name"] == OWN[0] and told["null_on_its_scale"]
    assert told["null"]["value"] == pytest.approx(0.4 * told["open"]["value"])
    assert told["verdicts"]["open − close"].startswith("better than every null model (best: vip_difference:pixels")
    assert "vip_difference:pixels" in told["verdicts"]["ranking"] and "no better" in told["verdicts"]["ranking"]
    text = bench_table(RewardBenchConfig(), figures, {}, "")
    assert "| vip_difference:pixels (null) |" in text and "- `vip_difference:pixels`:" not in text
    alone = bench_summary(all_figures(made, ["vip_difference", "any_motion", "wrong_direction"]), {})["rewards"]
    assert alone["vip_difference"]["verdicts"]["open − close"].startswith("not compared")
    assert not alone["vip_difference"]["null_on_its_scale"] and alone["vip_difference"]["null"]["value"] is not None


def test_another_view_is_one_to_develop_with() -> None:
    for view in view_names():
        other = models.other_view(view)
        assert other != view and other in view_names(held_out=False)


@pytest.fixture(scope="module")
def representations(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run of each objective, of a step or two."""
    root = tmp_path_factory.mktemp("representations")
    for i in range(3):
        save_clip(toy_clip(i, length=7), root / "clips" / f"c{i}")
    small = ["--clips", str(root / "clips"), "--image", "32", "--width", "8", "--batch", "2", "--steps", "2"]
    for objective in ("vip", "temporal_distance"):
        assert (
            mpr(["pretrain", *small, "--val_share", "0.4", "--objective", objective, "--out", str(root / objective)])
            == 0
        )
    return [root / "vip", root / "temporal_distance"]


def test_each_reward_has_the_null_models_that_can_be_made_of_it(representations: list[Path]) -> None:
    names, _ = models.chosen_rewards(RewardBenchConfig(representations=representations))
    for reward in ("vip", "vip_difference"):
        at = names.index(reward)
        assert names[at + 1 : at + 4] == [f"{reward}:{null}" for null in ("pixels", "untrained", "other_goal")]
    assert "time_rewarder:untrained" in names and "time_rewarder:pixels" not in names
    assert not any(name.startswith(("motion:", "dense:")) for name in names)
    assert all(models.is_null(name) == (":" in name or name in ("any_motion", "wrong_direction")) for name in names)


@pytest.mark.gl
def test_null_models_see_the_episode_but_not_what_the_reward_has_learned(
    representations: list[Path], tmp_path: Path
) -> None:
    config = RewardBenchConfig(representations=representations, view="front", out=tmp_path)
    save_episode(toy_episode(MICROWAVE, "opening", 1), config.episode_folder("opening") / "episode_1")
    names = ["vip", *models.nulls_of("vip"), "time_rewarder", *models.nulls_of("time_rewarder")]
    shown = {
        situation: {row["reward"]: np.array(row["scores"]) for row in score_episode((config, names, situation, 0))}
        for situation in ("opening", "mirrored")
    }
    opened = shown["opening"]
    assert all(np.isfinite(scores).all() for scores in opened.values()) and set(opened) == set(names)
    for reward, *nulls in (names[:4], names[4:]):
        for null in nulls:
            assert np.abs(opened[reward] - opened[null]).max() > 1e-4, null
    again = {row["reward"]: np.array(row["scores"]) for row in score_episode((config, names, "opening", 0))}
    assert all((again[name] == opened[name]).all() for name in names)  # random weights are the same ones every time
    assert opened["vip:pixels"][-1] > 0.1 + opened["vip:pixels"][0]  # to the last, a door that opens nears the goal
    np.testing.assert_allclose(shown["mirrored"]["vip:pixels"], opened["vip:pixels"], atol=0.05)  # so does its goal


@pytest.mark.gl
def test_the_goal_is_the_door_as_the_openings_leave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(goal_image, "kitchen_goal_image", lambda *given: asked.append(given) or np.zeros(1))
    for other in (False, True):
        models.goal_of("slide", "front", other)
    assert asked == [(SLIDE, SLIDE.opened, "front"), (SLIDE, SLIDE.opened, "left", goal_image.GOAL_START + 1)]
    monkeypatch.undo()
    goal, other = models.goal_of("microwave", "front"), models.goal_of("microwave", "front", other=True)
    assert goal.shape == other.shape == (256, 256, 3) and np.abs(goal.astype(int) - other).mean() > 5
    config = replace(RewardBenchConfig(), out=tmp_path)
    save_episode(toy_episode(MICROWAVE, "opening", 1), config.episode_folder("opening") / "episode_1")
    pictures.draw_goals(tmp_path / pictures.GOALS, config)
    assert (tmp_path / pictures.GOALS).stat().st_size > 10_000
