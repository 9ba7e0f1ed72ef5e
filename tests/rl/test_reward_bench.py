"""`mpr bench rewards`: figures from rows made by hand, what situations change, a tiny run and its resume, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main as mpr
from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import save_episode
from mpr.core.report.intervals import Interval
from mpr.core.runs import RunFolder
from mpr.reward.model import Given
from mpr.reward.registry import REWARDS, reward_class
from rl.environments.kitchen.config import EpisodesConfig
from rl.environments.kitchen.dense import DenseReward
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.scene import build_kitchen
from rl.environments.kitchen.stock import rebuilt_states
from rl.environments.kitchen.tasks import MICROWAVE, Task, find_task
from rl.reward_bench import models, scores
from rl.reward_bench.config import RANKED, SITUATIONS, RewardBenchConfig
from rl.reward_bench.figures import against_null, best_of, comparable_nulls, figures_of, values_of
from rl.reward_bench.pictures import stretched
from rl.reward_bench.report import all_figures, bench_summary, bench_table
from rl.reward_bench.situations import BOARD, NOISE_PX, covered, happening, noisy, showing
from tests.toy_clips import square_clip
from tracking.motion.points import Transition

STEPS = 6
TRAVEL = {"opening": (0.0, 1.0), "closing": (1.0, 0.0), "partial": (0.0, 0.5), "miss": (0.0, 0.0)}  # of `opened`


# --- figures, from rows made by hand ----------------------------------------------------------------------------------

NET = {"closing": -1.0, "still": 0.0, "miss": 0.0, "partial": 0.5}
PAYS: dict[str, Callable[[str], float]] = {  # of what moves, by situation
    "any_motion": lambda situation: 1.0,
    "wrong_direction": lambda situation: 0.3,
    "motion": lambda situation: 0.1 if situation == "closing" else 0.8,
    "none": lambda situation: 0.3,  # as good as a null model
}


def rows(episodes: int = 20) -> list[dict[str, Any]]:
    found = []
    for situation in SITUATIONS:
        net = NET.get(situation, 1.0)
        for number in range(episodes):
            share = np.where(np.arange(10) < 4, 0.0, 0.5 * abs(net) * (1 + 0.01 * number))
            for reward, pays in PAYS.items():
                found.append(
                    {
                        "situation": situation,
                        "number": number,
                        "reward": reward,
                        "travel": [0.0 if net > -1 else 1.0, max(net, 0.0)],
                        "scores": (pays(situation) * share).tolist(),
                    }
                )
    return [*found, {"cost": "motion", "latency_s": [0.01, 0.02, 0.03], "memory_gb": 0.5}]


def test_figures_are_what_the_rows_say() -> None:
    made = rows()
    motion, anything = (figures_of(made, name, False) for name in ("motion", "any_motion"))
    assert motion.paid["opening"].value == pytest.approx(0.8) and motion.paid["closing"].value == pytest.approx(0.1)
    assert motion.direction.value == pytest.approx(0.7) and anything.direction.value == pytest.approx(0)
    assert anything.paid["opening"].value == 1 and motion.paid["miss"].value == motion.paid["still"].value == 0
    assert motion.latency_s.value == pytest.approx(0.02) and motion.memory_gb == 0.5
    assert motion.paid["opening"].low < 0.8 < motion.paid["opening"].high and motion.paid["opening"].n == 20
    # pairs of unequal outcomes: 9 of 10, miss and still are alike; a magnitude puts closings above five others' worth
    assert motion.ranking.value == pytest.approx(7 / 9)  # paid 0.1 for closing it, it ranks that above both at rest
    assert anything.ranking.value == pytest.approx((7 - 1 - 0.5) / 9)  # above partial too, and level with opening


def test_pay_counts_while_the_object_moves_and_by_the_step_where_it_is_to_rest() -> None:
    made = rows()
    for row in made:
        if row.get("reward") == "motion" and row["situation"] in ("hesitation", "opening", "miss", "still"):
            row["scores"] = (np.array(row["scores"]) + np.where(np.arange(10) < 4, 0.2, 0.0)).tolist()  # of ten steps
    found = figures_of(made, "motion", False)
    assert found.paid["opening"].value == found.paid["hesitation"].value == pytest.approx(0.8)
    assert found.paid["miss"].value == found.paid["still"].value == pytest.approx(0.4 * 0.2)


def test_along_demonstrations_of_any_length_each_has_its_own_time_from_beginning_to_end() -> None:
    found = stretched([np.arange(5.0), np.arange(9.0)])
    assert found.shape[0] == 2 and found[:, 0].tolist() == [0, 0] and found[:, -1].tolist() == [4, 8]
    assert (found[1] == pytest.approx(2 * found[0])) and (np.diff(found, axis=1) > 0).all()


def test_a_reward_that_says_the_same_of_every_step_pays_nothing_above_a_step_that_changes_nothing() -> None:
    episode = toy_episode(MICROWAVE, "opening", 1)
    same = [kind for kind in map(reward_class, REWARDS.names()) if kind.constant]
    assert {kind.__name__ for kind in same} >= {"NoReward", "PaperSparseReward"}
    assert all((kind.of(Given()).score(episode) == kind.neutral).all() for kind in same)


def test_an_order_is_of_what_was_paid_so_far_but_of_states_of_their_worth() -> None:
    paid = np.array([0.0, 0.5, 0.2, 0.0])
    assert values_of(paid, False).tolist() == pytest.approx([0, 0.5, 0.7, 0.7])
    assert values_of(paid, True).tolist() == paid.tolist()
    made = [{**row, "scores": np.linspace(1, 0, 10).tolist()} if row.get("reward") == "none" else row for row in rows()]
    falling, summed = figures_of(made, "none", True), figures_of(made, "none", False)
    assert falling.voc.value == pytest.approx(-1) and summed.voc.value > 0.9
    assert falling.ranking.value == pytest.approx(0.5)  # all its rollouts end at 0


def test_a_reward_that_a_null_model_equals_is_said_to_be_no_better() -> None:
    figures = all_of(rows())
    assert comparable_nulls(figures, "motion", "direction") == ["any_motion", "wrong_direction"]
    assert comparable_nulls(figures, "any_motion", "direction") == ["wrong_direction"]  # itself is none
    assert best_of(figures, ["any_motion", "wrong_direction"], "direction")[0] in ("any_motion", "wrong_direction")
    said = bench_summary(figures, {})["rewards"]
    assert said["motion"]["verdicts"]["open − close"].startswith("better than every null model")
    assert said["none"]["verdicts"]["open − close"].startswith("no better than")
    near = Interval(0.5, 0.2, 0.8, 9)
    assert against_null(near, ("any_motion", Interval(0.4, 0.1, 0.6, 9))).startswith(
        "not shown to be better than any_motion"
    )
    assert against_null(near, ("", near)).startswith("not compared")
    assert against_null(Interval(np.nan, np.nan, np.nan, 0), ("any_motion", near)) == "not decided"


def all_of(made: list[dict[str, Any]]):
    return {name: figures_of(made, name, False) for name in PAYS}


def test_a_reward_that_gave_nothing_has_no_figure() -> None:
    made = [row for row in rows() if row.get("reward") != "none"]
    made += [{"situation": "opening", "number": 0, "reward": "none", "refused": "no", "travel": [0, 1]}]
    assert np.isnan(figures_of(made, "none", False).paid["opening"].value)


# --- situations ------------------------------------------------------------------------------------------------------


def toy_episode(task: Task, kind: str, seed: int, steps: int = STEPS) -> Episode:
    """The arm rests; the door goes evenly from where this kind begins to where it ends."""
    qpos = np.tile(build_kitchen().qpos0, (steps + 1, 1))
    begin, end = TRAVEL[kind]
    qpos[:, task.qpos] = task.sign * task.opened * np.linspace(begin, end, steps + 1) * (1 + 0.02 * (seed % 7))
    qpos[:, 0] += np.linspace(0, 0.1, steps + 1)
    recording = scene_recording(task, np.zeros(2), qpos, "front")
    return Episode(
        states=rebuilt_states(task, np.concatenate([qpos[:, :9], 0 * qpos[:, :9], qpos[:, 9:], 0 * qpos[:, :20]], 1)),
        times=recording.times,
        executed_actions=np.zeros((steps, 9)),
        terminated=kind == "opening",
        truncated=kind != "opening",
        success=kind == "opening",
        recording=recording,
        seed=seed,
        task=task.name,
        rate_hz=recording.rate_hz,
        about={"kind": kind, "view": "front"},
    )


def travel(episode: Episode) -> np.ndarray:
    assert episode.recording is not None
    return MICROWAVE.travel(episode.recording.qpos)


def test_a_door_that_is_held_still_is_so_in_everything_that_tells_of_it() -> None:
    opened = toy_episode(MICROWAVE, "opening", 1)
    still = happening("still", MICROWAVE, opened)
    assert still.recording is not None and opened.recording is not None
    assert np.ptp(travel(still)) == 0 and not still.success and len(still) == len(opened)
    assert (still.recording.qpos[:, :9] == opened.recording.qpos[:, :9]).all()  # the arm does the same
    qpos = still.recording.qpos
    by_kinematics = rebuilt_states(
        MICROWAVE, np.concatenate([qpos[:, :9], 0 * qpos[:, :9], qpos[:, 9:], 0 * qpos[:, :20]], 1)
    )
    np.testing.assert_allclose(still.states, by_kinematics, atol=1e-6)
    assert DenseReward(MICROWAVE).score(still).max() < 0.5 < DenseReward(MICROWAVE).score(opened).max()


def test_a_pause_changes_nothing_but_adds_steps_of_rest() -> None:
    opened = toy_episode(MICROWAVE, "opening", 1)
    paused = happening("hesitation", MICROWAVE, opened)
    assert len(paused) == len(opened) + 20 and np.isclose(np.diff(paused.times), 0.08).all()
    moves = np.diff(travel(paused))
    assert (moves == 0).sum() == 20 and moves[moves != 0] == pytest.approx(np.diff(travel(opened)))
    rest = np.flatnonzero(moves == 0)
    assert (paused.states[rest] == paused.states[rest + 1]).all() and np.ptp(rest) == 19
    assert travel(paused)[rest[0]] == pytest.approx(np.mean(travel(opened)[[0, -1]]))  # half-way
    assert happening("camera", MICROWAVE, opened) is opened


def test_what_is_covered_is_seen_by_nobody() -> None:
    clip = square_clip(np.tile([[90.0, 90.0]], (4, 1)))
    hidden = covered(clip)
    behind, free = Transition.of(hidden, 1), Transition.of(clip, 1)
    middle = ((free.before >= BOARD.start) & (free.before < BOARD.stop)).all(1)
    assert middle.sum() > 5 and not behind.visible[middle].any() and behind.visible[~middle].all()
    assert (hidden.frames[2][BOARD, BOARD] == 128).all() and not hidden.masks[2][BOARD, BOARD].any()
    assert (hidden.frames[2][:80] == clip.frames[2][:80]).all() and clip.masks[2][BOARD, BOARD].any()


def test_noise_is_on_every_place_and_the_same_again() -> None:
    clip = square_clip(np.tile([[90.0, 90.0]], (4, 1)))
    off = noisy(clip, 3).segments[0].points - clip.segments[0].points
    assert off.std() == pytest.approx(NOISE_PX, rel=0.1) and abs(off.mean()) < 0.1
    assert (noisy(clip, 3).segments[0].points == noisy(clip, 3).segments[0].points).all()


@pytest.mark.gl
def test_a_mirrored_scene_moves_as_the_scene_does_and_a_knocked_camera_sees_another_place() -> None:
    episode = toy_episode(MICROWAVE, "opening", 1)
    seen = {}
    for how in ("opening", "mirrored", "camera"):
        with showing(MICROWAVE, "exact").clip(how, episode, "front") as clip:
            x = Transition.of(clip, 2)
            seen[how] = clip.frames[2].astype(int), x.delta[x.object].mean(0), len(x.delta[x.object])
    frame, moved, points = seen["opening"]
    assert np.abs(seen["mirrored"][0][:, ::-1] - frame).mean() < 3  # of 256 grey levels
    assert seen["mirrored"][1] == pytest.approx(moved * (-1, 1), abs=0.05) and abs(seen["mirrored"][2] - points) < 9
    assert np.abs(seen["camera"][0] - frame).mean() > 5 and seen["camera"][2] > points / 2


# --- a run -----------------------------------------------------------------------------------------------------------


def toy_episodes(config: RewardBenchConfig) -> None:
    """Toy episodes where the run's scripted ones would be, as if they had been recorded."""
    for name, one in SITUATIONS.items():
        task, out = config.task_of(name), config.episode_folder(name)
        asked = EpisodesConfig(task, one.kind, config.episodes, config.seed, config.view, out)
        run = RunFolder(out, "episodes", as_dict(asked), free=("out", "episodes"))
        if not run.metrics():
            for seed in range(asked.seed, asked.seed + asked.episodes):
                save_episode(toy_episode(find_task(task), one.kind, seed), out / f"episode_{seed}")
                run.log(seed=seed, failed="", steps=STEPS)


@pytest.fixture
def toy_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A run on toy episodes; costs are measured in this process."""
    monkeypatch.setattr(scores, "record_all", toy_episodes)
    monkeypatch.setattr(scores, "mapped", lambda work, units, workers, fresh=True: map(work, units))
    return ["bench", "rewards", "--preset", "check", "--out", str(tmp_path / "run")]


@pytest.mark.gl
def test_a_run_killed_and_resumed_reports_every_reward(
    toy_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scored, out = scores.score_episode, tmp_path / "run"
    asked = [*toy_run, "--rewards", "none,environment,motion"]

    def killed(unit: scores.ScoreUnit) -> list[dict[str, Any]]:
        if unit[2:] == ("closing", 0):
            raise KeyboardInterrupt
        return scored(unit)

    monkeypatch.setattr(scores, "score_episode", killed)
    assert mpr(asked) == 130
    before = (out / "metrics.jsonl").read_bytes().splitlines()
    assert len(before) == 2 * 5  # two openings, five rewards
    (out / "metrics.jsonl").write_bytes(b"\n".join(before[:9]) + b"\n")  # killed while the second was written
    again = []
    monkeypatch.setattr(scores, "score_episode", lambda unit: again.append(unit[2:]) or scored(unit))
    assert mpr([*asked, "--workers", "2"]) == 0
    assert again[0] == ("opening", 1) and len(again) == 2 * len(SITUATIONS) - 1  # one whole unit was kept
    after = [json.loads(line) for line in (out / "metrics.jsonl").read_bytes().splitlines()]
    assert [json.loads(line) for line in before][:5] == after[:5]
    keys = [(row["situation"], row["number"], row["reward"]) for row in after if "situation" in row]
    assert len(keys) == len(set(keys)) == len(SITUATIONS) * 2 * 5
    told = json.loads((out / "summary.json").read_text())
    assert set(told["rewards"]) == {"none", "dense", "any_motion", "wrong_direction"}
    assert "needs --predictor" in told["left_out"]["motion"] and "finite rewards" in told["left_out"]["environment"]
    asked_for = {"open", "close", "miss", "still", "hesitation", "camera", "voc", "null", "latency_s"}
    for row in told["rewards"].values():
        assert asked_for <= set(row) and all({"value", "low", "high"} <= set(row[key]) for key in asked_for)
    anything = told["rewards"]["any_motion"]
    assert anything["open"]["value"] == anything["close"]["value"] == anything["mirrored"]["value"] == 1
    assert anything["miss"]["value"] == anything["still"]["value"] == told["rewards"]["none"]["open"]["value"] == 0
    assert told["rewards"]["dense"]["voc"]["value"] > 0.9 > 0 > told["rewards"]["dense"]["voc_closing"]["value"]
    text = (out / "table.md").read_text()
    assert "`none`: open − close no better than" in text and "nan" not in text
    for picture in ("demonstrations.png", "success_and_miss.png"):
        assert (out / picture).stat().st_size > 10_000
    told_by_hand(after, told)
    monkeypatch.setattr(scores, "score_episode", None)  # all is there: nothing is scored again
    assert mpr(asked) == 0 and (out / "table.md").read_text() == text


def by_ranks(values: np.ndarray) -> float:
    """Spearman's correlation with time, ties sharing the mean of their ranks."""
    ranks = [(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values]
    return float(np.corrcoef(ranks, range(len(values)))[0, 1])


def told_by_hand(rows: list[dict[str, Any]], told: dict[str, Any]) -> None:
    """What summary.json says of each reward is what its raw rows give, summed here in a loop."""

    def paid(name: str, situation: str) -> float:
        top = bottom = steps = 0.0
        for row in rows:
            if row.get("reward") == name and row["situation"] == situation:
                (other,) = (
                    one["scores"]
                    for one in rows
                    if (one.get("reward"), one.get("situation"), one.get("number"))
                    == ("any_motion", situation, row["number"])
                )
                if situation in ("miss", "still"):
                    top, steps = top + float(np.mean(row["scores"])), steps + 1
                else:
                    top += sum(score for score, share in zip(row["scores"], other, strict=True) if share > 0)
                    bottom += sum(other)
        return top / (steps or bottom)

    nulls = {name: paid(name, "opening") - paid(name, "closing") for name in ("any_motion", "wrong_direction")}
    places = {"open": "opening", "close": "closing"} | {
        name: name for name in ("miss", "still", "hesitation", "camera")
    }
    for name, row in told["rewards"].items():
        for key, situation in places.items():
            assert row[key]["value"] == pytest.approx(paid(name, situation), abs=1e-6), (name, key)
        assert row["open_minus_close"]["value"] == pytest.approx(row["open"]["value"] - row["close"]["value"], abs=1e-6)
        best = max((one, other) for other, one in nulls.items() if other != name)
        assert (row["null"]["value"], row["null_name"]) == (pytest.approx(best[0], abs=1e-6), best[1])
        (cost,) = (one for one in rows if one.get("cost") == name)
        assert row["latency_s"]["value"] == pytest.approx(np.mean(cost["latency_s"])) and len(cost["cpu_s"]) == 2
        orders = [
            by_ranks(np.cumsum(one["scores"]) if name != "dense" else np.array(one["scores"]))
            for one in rows
            if (one.get("reward"), one.get("situation")) == (name, "opening") and np.ptp(one["scores"])
        ]
        assert row["voc"]["value"] == pytest.approx(np.mean(orders) if orders else row["voc"]["value"], abs=1e-6)
        for key in ("open", "close", "miss", "still", "hesitation", "camera", "voc"):
            low, high = row[key]["low"], row[key]["high"]
            assert (low is None and high is None) or low <= row[key]["value"] <= high, (name, key)


@pytest.mark.gl
def test_rows_are_the_same_by_one_worker_and_by_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {name: SITUATIONS[name] for name in ("opening", "still", "noise")}
    monkeypatch.setattr(scores, "SITUATIONS", some)  # which are asked for: the workers know all
    config = RewardBenchConfig(episodes=2, out=tmp_path / "run")
    toy_episodes(config)
    found = []
    for workers in (1, 2):
        run = RunFolder(tmp_path / str(workers), "bench rewards", {})
        scores.score_all(replace(config, workers=workers), run, ["dense", "any_motion", "wrong_direction"])
        found.append(sorted(run.metrics(), key=lambda row: (row["situation"], row["number"], row["reward"])))
    assert len(found[0]) == 2 * 3 * len(some) and found[0] == found[1]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--rewards", "nosuch"], "no reward 'nosuch'; there is"),
        (["--task", "nosuch"], "no kitchen task 'nosuch'"),
        (["--other", "microwave"], "another appliance than --task microwave is needed"),
        (["--episodes", "1"], "--episodes 1: it is at least 2"),
        (["--workers", "0"], "--workers 0: it is at least 1"),
        (["--tracker", "nosuch"], "no tracker 'nosuch'"),
        (["--view", "nowhere"], "no kitchen view 'nowhere'"),
        (["--predictor", "nowhere"], "predictor nowhere does not exist"),
        (["--finetune", "nowhere"], "finetune nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    asked: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mpr(["bench", "rewards", *asked, "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not (tmp_path / "run").exists()


def test_rewards_that_need_what_is_not_there_are_left_out_by_name() -> None:
    names, left_out = models.chosen_rewards(RewardBenchConfig())
    assert {"none", "dense", "any_motion", "wrong_direction"} <= set(names)
    assert all("--predictor RUN" in left_out[name] for name in ("motion", "mean_motion"))
    with_one, rest = models.chosen_rewards(replace(RewardBenchConfig(), predictor=Path("run")))
    assert {"motion", "mean_motion"} <= set(with_one)
    assert set(rest) == {"vip", "vip_difference", "time_rewarder"}
    assert all("--representations RUN" in why for why in rest.values())


def test_what_is_ranked_is_shown_and_told() -> None:
    assert set(RANKED) <= set(SITUATIONS) and len(set(RANKED)) == 5
    figures = all_figures(rows(), ["any_motion", "wrong_direction"])
    text = bench_table(RewardBenchConfig(), figures, {"motion": "why"}, "")
    assert all(f"- {name}: " in text for name in SITUATIONS) and "- `motion`: why." in text
