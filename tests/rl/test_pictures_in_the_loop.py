"""Rewards that compare pictures, in the kitchen: the goal that it gives them, and practice paid by them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.data.clip_folder import save_clip
from mpr.reward.agreement import training_reward
from mpr.reward.vip import VipReward
from rl.environments.kitchen.goal_image import kitchen_goal_image
from rl.environments.kitchen.kind import KitchenKind
from rl.environments.kitchen.opening import stock_goal
from rl.environments.kitchen.tasks import HINGE, MICROWAVE, SLIDE
from rl.environments.setting import RewardView, Setting
from rl.residual.rewards import find_reward
from tests.rl.kitchen_episodes import episode
from tests.toy_clips import toy_clip

TASK, STEPS = "slide", 20
SETTING = Setting(f"kitchen:{TASK}")
pytestmark = [pytest.mark.gl, pytest.mark.usefixtures("short_episodes")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vip/ and temporal_distance/ of two steps."""
    home = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        save_clip(toy_clip(i, length=7), home / "clips" / f"c{i}")
    small = ["pretrain", "--clips", str(home / "clips"), "--image", "32", "--width", "8", "--batch", "2"]
    for objective in ("vip", "temporal_distance"):
        asked = [*small, "--steps", "2", "--val_share", "0.4", "--objective", objective]
        assert main([*asked, "--out", str(home / objective)]) == 0
    return home


def practice(home: Path, reward: str, run: Path, *more: str) -> list[str]:
    asked = ["finetune", "--env", SETTING.env, "--base", "zero", "--demos", "none", "--reward", reward]
    asked += ["--representation", str(home / ("temporal_distance" if reward == "time_rewarder" else "vip")), *more]
    small = ["--utd", "0.1", "--batch", "8", "--warmup_steps", "0", "--checkpoint_every", "1", "--episodes", "1"]
    return [*asked, *small, "--out", str(run)]


@pytest.mark.parametrize("reward", ["vip", "time_rewarder"])
def test_practice_is_paid_by_pictures(home: Path, tmp_path: Path, reward: str) -> None:
    run = tmp_path / "run"
    assert main(practice(home, reward, run)) == 0
    assert json.loads((run / "summary.json").read_text())["episodes"] == 1
    with np.load(run / "checkpoints" / "00001" / "replay.npz") as arrays:
        paid = arrays["rewards"][:, 0]
    assert len(paid) == STEPS and (paid >= -1).all() and (paid <= 0).all()
    assert len(set(paid.tolist())) > 1 or reward == "vip"  # so little trained, all may be further than the start
    assert "representation_weights: " in (run / "config.yaml").read_text()


def test_an_opening_comes_nearer_to_the_goal_and_is_paid_what_the_reward_says(home: Path) -> None:
    opening = episode(TASK, "opening")
    seen = RewardView(representation=home / "vip")
    for name in ("vip", "vip_difference"):
        found = find_reward(name, SETTING, seen).score(opening)
        assert found.shape == (len(opening),) and found.min() >= 0 and found.max() <= 1
        assert training_reward(found, np.zeros(len(opening), bool)).max() <= 0
    reward = find_reward("vip", SETTING, seen)
    assert isinstance(reward, VipReward)
    far, _ = reward.distances(opening)
    assert len(far) == len(opening) + 1 and far.min() > 0


def test_the_kitchen_s_goal_is_the_door_as_far_open_as_is_asked() -> None:
    kind = KitchenKind()
    stock, full = (kind.goal_image(Setting(SETTING.env, full_open=full), "front") for full in (False, True))
    assert stock.shape == (256, 256, 3) and stock.dtype == np.uint8
    np.testing.assert_array_equal(full, kitchen_goal_image(SLIDE, SLIDE.opened, "front"))
    np.testing.assert_array_equal(stock, kitchen_goal_image(SLIDE, stock_goal(SLIDE), "front"))
    apart = np.abs(stock.astype(int) - full).mean()
    again = np.abs(stock.astype(int) - kind.goal_image(SETTING, "front")).mean()
    assert apart > 1 > again == 0
    assert np.abs(stock.astype(int) - kind.goal_image(SETTING, "left")).mean() > 1
    travels = [stock_goal(task) for task in (MICROWAVE, HINGE, SLIDE)]
    assert travels == pytest.approx([0.45, 1.15, 0.07])


def test_an_episode_s_own_frame_is_no_goal(home: Path, tmp_path: Path) -> None:
    opening = episode(TASK, "opening")
    reward = find_reward("vip", SETTING, RewardView(representation=home / "vip"))
    assert isinstance(reward, VipReward)
    with reward.track(opening) as clip:
        last = clip.frames[len(opening)]
    cv2.imwrite(str(tmp_path / "last.png"), cv2.cvtColor(last, cv2.COLOR_RGB2BGR))
    mine = find_reward("vip", SETTING, RewardView(representation=home / "vip", goal_image=tmp_path / "last.png"))
    other = episode(TASK, "opening", 600_001)
    assert mine.score(other).shape == (len(other),)
    with pytest.raises(Exception, match=f"the goal image is frame {len(opening)} of the episode that is scored"):
        mine.score(opening)


def test_what_such_a_reward_lacks_is_said_in_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((64, 64, 3), np.uint8))
    twin = ["finetune", "--env", "twin:microwave", "--base", "zero", "--demos", "none", "--reward", "vip"]
    bare = ["finetune", "--env", SETTING.env, "--base", "zero", "--demos", "none", "--reward"]
    for asked, words in (
        ([*bare, "vip"], "reward 'vip' needs --representation RUN, a run folder of `mpr pretrain --objective vip`"),
        ([*bare, "time_rewarder"], "`mpr pretrain --objective temporal_distance`"),
        (practice(home, "vip", tmp_path, "--goal_image", str(tmp_path / "small.png")), "small.png has 64 x 64 pixels"),
        (practice(home, "vip", tmp_path, "--goal_image", "none.png"), "--goal_image none.png does not exist"),
        (practice(home, "vip", tmp_path, "--representation", str(home / "temporal_distance")), "was trained with"),
        (practice(home, "vip", tmp_path, "--representation", str(tmp_path / "none")), "holds no representation"),
        ([*twin, "--representation", str(home / "vip")], "--env twin:microwave has no picture of its goal"),
    ):
        capsys.readouterr()
        assert main([*asked, "--out", str(tmp_path / "no")]) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1
    assert not (tmp_path / "no").exists()


def test_the_plan_names_what_is_read(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*practice(home, "vip", tmp_path / "run"), "--dry-run"]) == 0
    assert f"input representation: {home / 'vip'} (found)" in capsys.readouterr().out
