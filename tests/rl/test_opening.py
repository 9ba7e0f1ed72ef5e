"""How far a door is to open, how far demonstrations open it, and what follows from that everywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.errors import UserError
from rl.data.demonstrations import BadDemonstration, cut_off, save_demonstration
from rl.environments.kitchen import collect, with_base
from rl.environments.kitchen.demonstrate import demonstrate as demonstrate_kitchen
from rl.environments.kitchen.dense import DenseReward
from rl.environments.kitchen.environment import KitchenEnvironment
from rl.environments.kitchen.expert import opening_plan
from rl.environments.kitchen.kind import KitchenKind
from rl.environments.kitchen.opening import REST_STEPS, asked_task, beyond_shown, kitchen_opening, stock_goal
from rl.environments.kitchen.tasks import SLIDE, find_task
from rl.environments.kitchen.tracked import square
from rl.environments.play import BASE_NAME, play_episode
from rl.environments.setting import DoorOptions, OpeningOptions, Setting
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.evaluate import load_residual
from rl.evaluation.outcomes import compare_policies, comparison_table
from rl.residual.checkpoint import save_residual_checkpoint
from rl.residual.config import FinetuneConfig
from rl.residual.demonstrations import demonstration_buffer
from rl.residual.rewards import find_reward
from rl.residual.train import find_demonstrations
from tests.rl.made_demonstrations import made
from tests.toy_reach import Chunked, demonstrate, learner, wrapped

FURTHER: dict[str, Any] = {"goal_travel": 0.7, "shown_travel": 0.45}
MICROWAVE = "kitchen:microwave"


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_what_demonstrations_show_is_in_their_words() -> None:
    """Those of before, word for word; and where they end short of the goal the goal does not matter."""

    def words(task: str, **options: Any) -> str:
        return kitchen_opening(task, DoorOptions(**options)).words

    assert [words("slide"), words("slide", ajar=True), words("slide", step_limit=9)] == ["slide"] * 3
    assert words("slide", full_open=True) == words("slide", goal_travel=0.25) == "slide, fully"
    assert words("slide", goal_travel=0.3) == "slide to 0.3 m" and words("hinge", goal_travel=1) == "hinge to 1 rad"
    shown = {words("slide", goal_travel=goal, shown_travel=0.1) for goal in (0.2, 0.3)}
    assert shown == {"slide, shown to rest at 0.1 m"}
    assert words("slide", full_open=True, shown_travel=0.1) == "slide, shown to rest at 0.1 m"


def test_the_goal_is_asked_for_or_the_stock_kitchens() -> None:
    stock = {task: kitchen_opening(task, DoorOptions()).goal for task in ("microwave", "hinge", "slide")}
    assert stock == pytest.approx({"microwave": 0.45, "hinge": 1.15, "slide": 0.07})
    for name, travel in stock.items():  # FrankaKitchen-v1's own word on it
        task, qpos = find_task(name), np.zeros(30)
        for beside, solved in ((-0.001, False), (0.001, True)):
            qpos[task.qpos] = task.sign * (travel + beside)
            assert task.solved(qpos) is solved
    asked = kitchen_opening("microwave", DoorOptions(**FURTHER))
    assert (asked.goal, asked.task.opened, asked.demonstrated.goal, asked.demonstrated.task.opened) == (
        0.7,
        0.7,
        *[0.45] * 2,
    )
    assert asked.step_limit == 150 and kitchen_opening("slide", DoorOptions(step_limit=200)).step_limit == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--goal_travel 0", "--goal_travel 0.0: it is above 0"),
        ("--goal_travel 3", "a microwave opens no further than 2.094 rad"),
        ("--goal_travel 0.7 --full_open true", "--full_open is short for a --goal_travel"),
        ("--shown_travel 0.5", "short of the goal, which is 0.45 rad (--goal_travel)"),
        ("--goal_travel 0.7 --shown_travel 0.7", "short of the goal, which is 0.7 rad"),
        ("--goal_travel 0.7 --shown_travel 0.3 --ajar true", "--shown_travel 0.3: with --ajar the door stands"),
        ("--goal_travel 0.3 --ajar true", "--goal_travel 0.3: with --ajar"),
        ("--step_limit 0", "--step_limit 0: it is at least 1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["demos", "finetune", "evaluate"])
def test_travels_that_do_not_lie_as_they_have_to_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, words: str, says: str
) -> None:
    assert main([command, *words.split(), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_what_has_no_such_door_refuses_the_options() -> None:
    for options in ({"goal_travel": 0.7}, {"step_limit": 200}, {"shown_travel": 0.1}):
        with pytest.raises(UserError, match=f"--{next(iter(options))}: only the kitchen has such a door"):
            FinetuneConfig(env="gymnasium:Pendulum-v1", **options)


def test_an_episode_that_the_buffer_cannot_hold_is_refused() -> None:
    with pytest.raises(UserError, match="--buffer 150: an episode of --env kitchen:microwave has up to 200 steps"):
        FinetuneConfig(buffer=150, step_limit=200)


@given(*[st.floats(0.0, 2.0)] * 3)
def test_beyond_what_is_shown_is_a_share_that_grows(furthest: float, further: float, shown: float) -> None:
    low, high = sorted((furthest, further))
    goal = shown + 0.5
    assert 0 <= beyond_shown(low, shown, goal) <= beyond_shown(high, shown, goal) <= 1
    assert beyond_shown(shown, shown, goal) == 0 and beyond_shown(goal, shown, goal) == 1
    assert beyond_shown(shown + 0.25, shown, goal) == pytest.approx(0.5)


def test_dense_goes_by_the_goal_that_is_asked_for() -> None:
    found = [find_reward("dense", Setting(MICROWAVE, **options)) for options in ({}, FURTHER)]
    assert [one.task.opened for one in found if isinstance(one, DenseReward)] == [0.45, 0.7]


# --- the environment --------------------------------------------------------------------------------------------------


def test_an_episode_goes_on_to_the_goal_or_to_its_last_step_and_tells_how_far_it_came() -> None:
    setting = Setting("kitchen:slide", goal_travel=0.3, shown_travel=0.1, step_limit=4)
    travels = [0.05, 0.2, 0.12, 0.12, 0.4]
    with with_base.kitchen_with_base(setting) as environment:
        kitchen = environment.unwrapped
        assert isinstance(kitchen, KitchenEnvironment) and kitchen.task.opened == kitchen.goal == 0.3
        still, told = np.zeros(9, np.float32), []
        for ahead in (0, 1):  # the second time further, so that the goal is reached on step 4
            environment.reset(seed=500_000)
            for t in range(4):
                qpos = kitchen.data.qpos.copy()
                qpos[SLIDE.qpos] = travels[t + ahead]
                kitchen.write_qpos(qpos)
                told.append(environment.step(still)[2:])
    (*_, (terminated, truncated, info)), (*_, last) = told[:4], told[4:]
    assert (terminated, truncated) == (False, True) and not info["opened"] and not info["is_success"]
    assert info["furthest_travel"] == pytest.approx(0.2, abs=0.01) and info["travel"] < 0.13
    assert info["beyond_shown"] == pytest.approx(0.5, abs=0.05)
    assert last[:2] == (True, False) and last[2]["opened"] and last[2]["beyond_shown"] == 1
    assert told[0][2]["beyond_shown"] == 0, "a new episode begins anew"
    finished = environment.finished
    assert finished is not None and finished.about["beyond_shown"] == 1 and finished.about["furthest_travel"] > 0.3


def test_an_outcome_tells_of_travel_where_there_is_such_a_thing() -> None:
    assert "furthest_travel" not in play_episode(wrapped(), None, 10_000).row
    with with_base.kitchen_with_base(Setting("kitchen:slide", step_limit=1)) as environment:
        row = play_episode(environment, None, 500_000).row
    assert row["furthest_travel"] == pytest.approx(0, abs=0.01) and "beyond_shown" not in row, "all is shown"


# --- demonstrations ---------------------------------------------------------------------------------------------------


def test_the_expert_demonstrates_what_is_to_be_shown_and_ends_there(tmp_path: Path) -> None:
    """For real: the door comes to what is shown, time is up there, and the residual buffer takes it so."""
    asked = ["--ajar", "true", "--goal_travel", "0.3", "--shown_travel", "0.1"]
    demos = ["demos", "--task", "slide", "--num_demos", "1", *asked, "--out", str(tmp_path / "demos")]
    assert main(demos) == 0
    config = FinetuneConfig(
        env="kitchen:slide", demos=tmp_path / "demos", base=Path("zero"), ajar=True, goal_travel=0.3, shown_travel=0.1
    )
    with config.kind.open(config.asked) as environment:
        (one,) = find_demonstrations(config, environment)
        buffer, _ = demonstration_buffer([one], environment, find_reward("dense", config.asked))
    assert one.task == "slide, shown to rest at 0.1 m"
    assert (one.terminated, one.truncated, one.success) == (False, True, False)
    assert one.recording is not None
    travel = SLIDE.travel(one.recording.qpos)
    assert one.recording.extra["opened_share"] == pytest.approx(0.3 / SLIDE.opened), "seen in the goal's square"
    came = len(one) - REST_STEPS
    assert travel[came] >= 0.1 > travel[:came].max() and np.abs(travel[came:] - 0.1).max() < 0.05
    assert buffer.timeouts[:, 0].tolist() == [0] * (len(one) - 1) + [1]
    assert buffer.rewards.max() < 0, "none holds the bonus of a success"
    gone = travel[-1] / 0.3  # of the way asked for; where the hand is says at most half of the rest
    assert gone - 1 < buffer.rewards[-1, 0] < gone + (1 - gone) / 2 - 1


@pytest.mark.parametrize(
    ("task", "shown", "goal"), [("microwave", 0.45, 0.7), ("hinge", 0.6, 1.0), ("slide", 0.1, 0.25)]
)
def test_at_the_end_of_what_is_shown_the_door_is_held(task: str, shown: float, goal: float) -> None:
    """The microwave's swings to when the arm only stops: it would be shown to be shut again."""
    asked = kitchen_opening(task, DoorOptions(goal_travel=goal, shown_travel=shown, ajar=True)).demonstrated
    environment = KitchenEnvironment(asked.task, threshold=asked.threshold, ajar=True)
    made = demonstrate_kitchen(environment, 300, rest=REST_STEPS)
    assert made.recording is not None and made.success
    rested = asked.task.travel(made.recording.qpos)[-REST_STEPS - 1 :]
    assert rested[0] >= shown and (np.abs(rested - shown) < 0.15 * shown).all()


def test_the_plan_goes_by_what_is_asked() -> None:
    """A plan for what is shown ends a little beyond that, one for the goal a little beyond the goal."""
    asked = kitchen_opening("slide", DoorOptions(goal_travel=0.3, shown_travel=0.1))
    swung = []
    for one in (asked, asked.demonstrated):
        environment = KitchenEnvironment(one.task, threshold=one.threshold)
        environment.reset(seed=0)
        swung.append(opening_plan(environment, np.random.default_rng(0)).travel)
    assert 1.15 <= swung[0] / 0.3 <= 1.3 and 1.15 <= swung[1] / 0.1 <= 1.3


def test_attempts_that_come_as_far_as_is_shown_are_kept_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchens: list[dict[str, Any]] = []
    monkeypatch.setattr(collect, "KitchenEnvironment", lambda task, **asked: kitchens.append(asked | {"task": task}))
    monkeypatch.setattr(collect, "demonstrate", lambda _, seed, *__: made(seed, success=seed != 1))
    words = ["--num_demos", "2", "--goal_travel", "0.7", "--shown_travel", "0.5", "--step_limit", "200"]
    assert main(["demos", *words, "--out", str(tmp_path)]) == 0
    assert kitchens[0]["threshold"] == kitchens[0]["task"].opened == 0.5 and kitchens[0]["step_limit"] == 200
    found = collect.demonstration_folders(tmp_path)
    kept = [collect.load_demonstration(folder) for folder in found]
    assert [(one.seed, one.success, one.truncated) for one in kept] == [(0, False, True), (2, False, True)]
    assert {one.task for one in kept} == {"microwave, shown to rest at 0.5 rad"}


def shows(folder: Path, task: str, *, cut: bool) -> Path:
    one = dataclasses.replace(demonstrate(0), task=task)
    save_demonstration(cut_off(one) if cut else one, folder / "demonstration_000000")
    return folder


@pytest.mark.parametrize(
    ("task", "cut", "says"),
    [
        ("hinge, shown to rest at 0.45 rad", True, "shows 'hinge, .*', wanted is 'microwave, shown to rest at 0.45"),
        ("microwave", False, "shows 'microwave', wanted is 'microwave, shown to rest at 0.45 rad'"),
        ("microwave, shown to rest at 0.5 rad", True, "shows 'microwave, shown to rest at 0.5 rad', wanted is"),
        ("", False, "ends in success, with --shown_travel none may"),
    ],
)  # fmt: skip
def test_demonstrations_of_another_end_or_task_are_refused(tmp_path: Path, task: str, cut: bool, says: str) -> None:
    config = FinetuneConfig(env=MICROWAVE, demos=shows(tmp_path, task, cut=cut), **FURTHER)
    with pytest.raises(BadDemonstration, match=says):
        find_demonstrations(config, wrapped())


def test_demonstrations_cut_off_serve_every_goal_beyond_them(tmp_path: Path) -> None:
    shows(tmp_path, "microwave, shown to rest at 0.45 rad", cut=True)
    for goal in (0.6, 0.8):
        config = FinetuneConfig(env=MICROWAVE, demos=tmp_path, goal_travel=goal, shown_travel=0.45)
        assert len(find_demonstrations(config, wrapped())) == 1


def test_a_base_policy_for_another_threshold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for one that learned what the setting's demonstrations show."""
    from rl.policies.diffusion import checkpoint

    (tmp_path / "summary.json").write_text("{}")
    wanted = []

    def load_actor(run: Path, sampler: Any, look: Any, device: str, **known: Any) -> Chunked:
        wanted.append(known["wanted"])
        return Chunked()

    monkeypatch.setattr(checkpoint, "load_actor", load_actor)
    for options in ({}, {"goal_travel": 0.7}, FURTHER):
        with with_base.base_in(KitchenEnvironment("microwave"), Setting(MICROWAVE, tmp_path, **options)):
            pass
    assert wanted == ["microwave", "microwave to 0.7 rad", "microwave, shown to rest at 0.45 rad"]


# --- figures ----------------------------------------------------------------------------------------------------------


def rows(policy: str, beyond: list[float]) -> list[dict[str, Any]]:
    return [
        {"policy": policy, "seed": seed, "success": share == 1, "steps": 9}
        | {"beyond_shown": share, "furthest_travel": share}
        for seed, share in enumerate(beyond)
    ]  # fmt: skip


def test_the_way_beyond_what_is_shown_is_compared_with_the_base_policys() -> None:
    told = rows(BASE_NAME, [0.0, 0.2, 0.1, 0.1]) + rows("one", [0.4, 0.6, 0.5, 1.0]) + rows("two", [0.4, 0.6, 0.5, 0.6])
    found = compare_policies(told, ["one", "two"])
    assert found.beyond_shown is not None and found.beyond_shown.value == pytest.approx(0.575)
    assert found.beyond_gain is not None and found.beyond_gain.value == pytest.approx(0.475)
    assert found.furthest_travel is not None and found.furthest_travel.value == pytest.approx(0.575)
    table = comparison_table(told, {"both": ["one", "two"]})
    assert table[0].endswith("| furthest, of the way beyond what is shown | minus base |")
    assert "| 0.10 [" in table[2] and "| 0.57 [" in table[3] and {line.count("|") for line in table} == {8}


def test_rows_of_before_tell_of_success_alone() -> None:
    told = [{key: row[key] for key in ("policy", "seed", "success", "steps")} for row in rows(BASE_NAME, [0.0, 1.0])]
    assert compare_policies(told, [BASE_NAME]).beyond_shown is None
    assert comparison_table(told, {})[0] == "| policy | success | minus base | of each run | steps, where it succeeds |"


def test_a_policy_of_before_practised_without_the_new_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"env": MICROWAVE, "base": "zero", "base_weights": "", "residual_scale": 0.3, "ddim_steps": 10}
    save_residual_checkpoint(tmp_path, 1, learner(), about)
    (tmp_path / "summary.json").write_text("{}")
    assert load_residual(EvaluateConfig(base=Path("zero")), tmp_path).residual_scale == 0.3
    assert capsys.readouterr().out == ""
    load_residual(EvaluateConfig(base=Path("zero"), goal_travel=0.7), tmp_path)
    assert "practised with goal_travel None, here it is 0.7" in capsys.readouterr().out


def test_the_kitchens_kind_says_what_its_setting_asks() -> None:
    kind, asked = KitchenKind(), Setting(MICROWAVE, step_limit=200, **FURTHER)
    assert (kind.goal(asked), kind.step_limit(asked), kind.ends_short(asked)) == (
        "microwave, shown to rest at 0.45 rad",
        200,
        True,
    )
    assert (kind.step_limit(Setting()), kind.ends_short(Setting())) == (150, False)
    assert stock_goal(SLIDE) == pytest.approx(0.07)


def test_the_square_of_a_reward_holds_the_door_at_the_goal_asked_for() -> None:
    microwave = find_task("microwave")
    own = square(microwave, "front")
    assert square(asked_task("microwave", OpeningOptions(goal_travel=microwave.opened)), "front") == own
    wider = square(asked_task("microwave", OpeningOptions(goal_travel=1.0)), "front")
    assert wider.size > own.size
