"""`mpr experiment reach`: the claim's two looks, the table out of raw rows, and which runs are made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.config import parse_config
from mpr.core.errors import UserError
from mpr.core.report.intervals import UNIT_RANGE, mean, pooled_difference
from rl.experiments import reach_runs
from rl.experiments.practice import variant_words
from rl.experiments.reach import ReachConfig
from rl.experiments.reach_claim import Claim, claim_of
from rl.experiments.reach_runs import practise_seeds
from rl.experiments.reach_table import ReachPlan, draw_reach, reach_report, write_reach_table

REGISTERED = Path(__file__).resolve().parents[2] / "configs" / "reach.yaml"


def travels(values: Sequence[float], first: int = 3) -> dict[int, float]:
    return dict(enumerate(values, first))


RUNS = st.lists(st.integers(0, 100).map(lambda hundredths: hundredths / 100), min_size=2, max_size=6)


@given(st.lists(st.tuples(RUNS, RUNS), min_size=1, max_size=3))
def test_of_one_task_the_pooled_test_is_welchs_and_of_several_their_mean(strata: list[tuple[list[float], ...]]) -> None:
    pairs = [(one, other) for one, other in strata]
    found = pooled_difference(pairs)
    assert found.difference.value == pytest.approx(np.mean([np.mean(a) - np.mean(b) for a, b in pairs]), abs=1e-12)
    if len(pairs) == 1 and np.isfinite(found.p) and min(map(np.ptp, pairs[0])) > 0:
        assert found.p == pytest.approx(ttest_ind(*pairs[0], equal_var=False).pvalue, rel=1e-6, abs=1e-12)


def test_a_pooled_test_that_nothing_can_be_said_by_says_nothing() -> None:
    for one, other in (([0.5], [0.1, 0.2]), ([0.5, 0.5], [0.2, 0.2]), ([0.1] * 3, [0.2] * 3)):
        found = pooled_difference([(one, other)])
        assert np.isnan([found.p, found.difference.low, found.difference.high]).all()


def test_the_pooled_interval_covers_what_is_there() -> None:
    """Three tasks of unlike spread, five runs a side, true differences of 0: mean 0."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        pairs = [(rng.normal(m, s, 5), rng.normal(m, s, 5)) for m, s in ((0.2, 0.03), (0.5, 0.1), (0.7, 0.15))]
        interval = pooled_difference(pairs).difference
        inside.append(interval.low <= 0 <= interval.high)
    assert 0.94 < np.mean(inside) < 0.97


def looked(ones: Sequence[float], others: Sequence[float], most: int = 10) -> Claim:
    return claim_of([travels(ones)], [travels(others)], 3, most)


WIDE = [0.1, 0.4, 0.2, 0.5, 0.3]


def test_nothing_is_looked_at_before_half_of_the_seeds_are_complete() -> None:
    found = looked([0.5] * 5, [0.1] * 4)
    assert (found.look, found.done) == (0, 4) and str(found) == "No look yet: 4 of 5 seeds are complete."
    assert claim_of([travels(WIDE), travels(WIDE)], [travels(WIDE), travels(WIDE[:3])], 3, 10).done == 3
    assert claim_of([{4: 0.5, 5: 0.5}], [{4: 0.1, 5: 0.1}], 3, 4).done == 0, "a hole ends what is complete"


def test_the_first_look_takes_more_than_the_second() -> None:
    """p = 0.03: not enough of it at half of the seeds."""
    ones, others = np.array(WIDE) + 0.28, WIDE
    first = looked(list(ones), others)
    assert first.look == 1 and 0.005 < first.tested.p < 0.048 and not first.stopped  # type: ignore[union-attr]
    assert str(first).endswith("goes on to 10 seeds.")
    second = looked(list(ones), others, most=5)  # the same runs as a second look
    assert second.look == 2 and second.shown and "**shown**, at least the aim of 0.2" in str(second)


def test_what_is_clear_at_the_first_look_is_not_asked_again() -> None:
    ones, others = [0.8, 0.81, 0.82, 0.79, 0.8], [0.1, 0.11, 0.12, 0.09, 0.1]
    found = looked(ones + [0.0] * 5, others + [1.0] * 5)
    assert (found.look, found.seeds, found.shown, found.stopped) == (1, 5, True, True)


def test_a_first_look_without_hope_stops_for_futility() -> None:
    found = looked([0.1, 0.11, 0.12, 0.1, 0.09], [0.1, 0.12, 0.11, 0.1, 0.1])
    assert found.stopped and not found.shown and "stopped for futility" in str(found)
    worse = looked([0.1, 0.11, 0.12, 0.1, 0.09], [0.8, 0.82, 0.81, 0.8, 0.8])
    assert worse.stopped and not worse.shown, "less is not more, however sure"


def test_where_nothing_varies_there_is_no_figure_and_it_goes_on() -> None:
    found = looked([1.0] * 5, [0.0] * 5)
    assert not found.shown and not found.stopped and str(found).endswith("no figure, for nothing varies between runs.")


def test_what_is_not_shown_by_all_seeds_is_said_not_to_be() -> None:
    found = looked(WIDE * 2, [0.1, 0.5, 0.2, 0.4, 0.3] * 2)
    assert found.look == 2 and str(found).endswith("**not shown.**")


# --- the table --------------------------------------------------------------------------------------------------------

MEASURES = {"near": "beyond_shown", "easy": "success"}
PLAN = ReachPlan({"near": ["none", "motion", "wrong_direction"]}, {"easy": ["none", "motion"]}, 3, 4, 1, 4, 2, MEASURES)


def written(folder: Path, plan: ReachPlan = PLAN, seeds: int = 4) -> Path:
    """Raw numbers in which `motion` comes half of the way in its last episodes, the others nowhere."""
    for name, variants in {**plan.further, **plan.controls}.items():
        (folder / "raw" / name).mkdir(parents=True, exist_ok=True)
        for variant in variants:
            for seed in range(plan.first_seed, plan.first_seed + seeds):
                beyond = [0.9, 0.9, *([0.5, 0.5 + seed / 100] if variant == "motion" else [0.0, seed / 100])]
                rows: list[dict[str, Any]] = [{"success": far > 0.55, "beyond_shown": far} for far in beyond]
                if name in plan.controls:
                    rows = [{"success": row["success"]} for row in rows]
                file = folder / "raw" / name / f"practice_{variant_words(variant)}_seed_{seed}.jsonl"
                file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "raw" / "plan.json").write_text(json.dumps(plan.as_json()))
    return folder


def test_the_figure_is_the_mean_of_the_last_episodes_and_the_table_is_made_of_raw_rows_alone(tmp_path: Path) -> None:
    figures, raw = write_reach_table(written(tmp_path))
    motion = figures["settings"]["near"]["motion"]
    assert motion["travel"]["value"] == pytest.approx(np.mean([0.5 + seed / 200 for seed in (3, 4, 5, 6)]))
    assert figures["claim"]["value"] == pytest.approx(0.5) and figures["claim"]["look"] == 1
    table = (tmp_path / "table.md").read_text()
    assert "**shown**" in table and "near: `motion` above `wrong_direction`: 0.50 [" in table
    assert draw_reach(tmp_path, raw) == [tmp_path / "near.png", tmp_path / "easy.png"]
    assert "## easy, a control" in table and "success, last 2" in table
    assert (tmp_path / "table.md").read_text() == "\n".join(reach_report(tmp_path / "raw")[0]) + "\n"


def test_a_table_that_is_half_full_says_how_full_and_shows_no_contrast_before_its_look(tmp_path: Path) -> None:
    write_reach_table(written(tmp_path, seeds=1))
    table = (tmp_path / "table.md").read_text()
    held = [line for line in table.splitlines() if "at the first look" in line]
    assert len(held) == 1 and held[0].startswith("| motion | 1 |")
    assert "No look yet: 1 of 2 seeds are complete." in table and "**3 of 12 runs: not complete**" in table
    file = tmp_path / "raw" / "near" / "practice_none_seed_3.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:2]) + "\n")
    assert "No look yet: 0 of 2" in "\n".join(reach_report(tmp_path)[0]), "a run that is not whole is not there"


def test_a_row_that_does_not_tell_what_is_measured_is_refused_and_changes_no_figure(tmp_path: Path) -> None:
    file = written(tmp_path) / "raw" / "near" / "practice_wrong_direction_seed_4.jsonl"
    file.write_text(file.read_text().replace(', "beyond_shown": 0.9', "", 1))
    file.write_text("".join(line + "\n" for line in [*file.read_text().splitlines()[1:], '{"success": false}']))
    with pytest.raises(UserError, match=r"seed_4.jsonl, line 4 has no 'beyond_shown'"):
        reach_report(tmp_path)


def test_final_policies_are_compared_with_their_own_base_policies_and_intervals_are_over_seeds(tmp_path: Path) -> None:
    """Each seed has starts of its own: runs are all that is counted."""
    written(tmp_path)
    for seed in range(3, 7):
        rows = [{"policy": name, "seed": seed * 10 + k, "success": k < won, "beyond_shown": 0.0}
                for name, won in (("base", seed - 3), (f"motion_seed_{seed}", seed - 2)) for k in range(4)]  # fmt: skip
        file = tmp_path / "raw" / "near" / f"evaluation_seed_{seed}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    motion = write_reach_table(tmp_path)[0]["settings"]["near"]["motion"]
    assert motion["final"] == dataclasses.asdict(mean([0.25, 0.5, 0.75, 1.0], UNIT_RANGE))
    assert motion["minus_base"]["value"] == pytest.approx(0.25) and motion["minus_base"]["n"] == 4


@pytest.mark.parametrize("odd", [{"beyond_shown": 2}, {"beyond_shown": None}, {"beyond_shown": "x"}, {"success": []}])
def test_a_row_that_cannot_be_is_refused_by_name(odd: dict[str, Any], tmp_path: Path) -> None:
    file = written(tmp_path) / "raw" / "near" / "practice_motion_seed_3.jsonl"
    file.write_text(file.read_text() + json.dumps({"success": True, "beyond_shown": 0.1, **odd}) + "\n")
    with pytest.raises(UserError, match=r"practice_motion_seed_3.jsonl, line 5") as told:
        reach_report(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "odd",
    [
        {"most_seeds": 1},
        {"last": 0},
        {"episodes": 2**62},
        {"further": {"../x": []}},
        {"further": 1},
        {"first_seed": -1},
        {"further": {}},
        {"measures": {}},
        {"measures": {"near": "luck", "easy": "success"}},
    ],
)
def test_a_plan_that_no_experiment_makes_is_refused(odd: dict[str, Any], tmp_path: Path) -> None:
    file = written(tmp_path) / "raw" / "plan.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **odd}))
    with pytest.raises(UserError) as told:
        reach_report(tmp_path)
    assert "\n" not in str(told.value)


def test_what_a_later_version_adds_to_a_plan_is_passed_over(tmp_path: Path) -> None:
    file = written(tmp_path) / "raw" / "plan.json"
    before = reach_report(tmp_path)[0]
    file.write_text(json.dumps({**json.loads(file.read_text()), "more": 1}))
    assert reach_report(tmp_path)[0] == before


def test_a_report_needs_raw_numbers_and_prints_their_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "reach", "--report", str(tmp_path)]) == 2
    assert "holds no plan.json" in capsys.readouterr().err
    write_reach_table(written(tmp_path))
    assert main(["experiment", "reach", "--report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (tmp_path / "table.md").read_text()


# --- what is run ------------------------------------------------------------------------------------------------------


def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str) -> ReachConfig:
    monkeypatch.chdir(REGISTERED.parents[1])
    return parse_config(
        ReachConfig, ["--config", str(REGISTERED), "--first_seed", "3", "--out", str(tmp_path / "run"), *words], "reach"
    )[0]


def test_each_seed_has_demonstrations_and_a_base_policy_of_its_own_in_each_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = asked(monkeypatch, tmp_path)
    first, *_, easy = config.asked
    assert (first.name, first.claims, easy.name, easy.claims) == ("further_microwave", True, "easy_microwave", False)
    demos, base = config.demos(first, 4), config.base(first, 4)
    assert (demos.seed, demos.num_demos, demos.shown_travel, demos.ajar) == (400, 20, 0.45, True)
    assert base.demos == demos.out and base.seed == 4 and base.lr == 5e-4
    run = config.practice(first, 4).run_of("motion tracker=lucas_kanade", 4)
    assert (run.base, run.demos, run.seed, run.goal_travel, run.residual_scale) == (base.out, demos.out, 4, 0.8, 0.2)
    starts = [range(config.demos(first, s).seed, config.demos(first, s).seed + 100) for s in first.seeds]
    assert len({seed for some in starts for seed in some}) == 100 * len(starts), "no start is shown twice"
    evaluated = [config.practice(first, seed) for seed in range(3, 13)]
    assert len({one.seed + k for one in evaluated for k in range(one.episodes)}) == 10 * config.episodes
    assert "motion tracker=lucas_kanade" in first.variants and config.asked[1].variants == tuple(config.variants)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--further", "[]"], "--further is needed"),
        (["--further", "configs/setting_easy_microwave.yaml"], "without shown_travel"),
        (["--further", "configs/none.yaml"], "does not exist"),
        (["--controls", "configs/setting_further_microwave.yaml"], "told apart by their files' names"),
        (["--variants", "motion", "dense"], "no none: the claim is motion minus none"),
        (["--variants", "none", "motion", "praise"], "no reward 'praise'"),
        (["--last", "101"], "there are 100 episodes"),
        (["--seed", "500000"], "evaluated on 700,000 and up"),
        (["--seed", "999990"], "evaluated on 700,000 and up"),
        (["--seeds", "16"], "the second look is at --most_seeds 10"),
        (["--settings", "total_steps=1000"], "runs have --practice_episodes each"),
        (["--first_seed", "95"], "training seeds lie in 0 to 99"),
        (["--num_demos", "51"], "50 at most"),
        (["--most_seeds", "3"], "at least 4"),
        (["--base_settings", "layers=3"], "unknown key --layers"),
        (["--predictors", ""], "needs --predictor"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        asked(monkeypatch, tmp_path, *[word if word else "null" for word in words])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[str]:
    """In place of the kitchen: what would be made, in order."""
    found: list[str] = []

    apart = getattr(request, "param", False)  # whether `motion` comes half of the way further

    def run(unit: Any) -> None:
        found.append(f"{unit.out.parents[2].name} {unit.out.name}")
        far = 0.5 * (unit.reward == "motion") + unit.seed / 50 if apart else [0.1, 0.4, 0.2, 0.5][unit.seed - 3]
        unit.out.mkdir(parents=True)
        rows = [{"success": False, "beyond_shown": far} for _ in range(unit.episodes)]
        (unit.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (unit.out / "summary.json").write_text("{}")

    def evaluated(config: Any) -> None:
        found.append(f"evaluation {config.out.parents[1].name} {config.out.parent.name}")
        config.out.mkdir(parents=True, exist_ok=True)
        names = ["base", *(path.name for path in config.residuals)]
        rows = [
            {"policy": name, "seed": s, "success": False, "beyond_shown": 0.0} for name in names for s in config.seeds
        ]
        (config.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    monkeypatch.setattr(
        reach_runs, "_base", lambda unit: found.append(f"base {unit[1].out.parents[1].name} {unit[1].seed}")
    )
    monkeypatch.setattr(reach_runs, "check_runs", lambda units: None)
    monkeypatch.setattr(reach_runs, "reach_inputs", lambda config: {})
    monkeypatch.setattr(reach_runs, "finetune", run)
    monkeypatch.setattr(reach_runs, "evaluate", evaluated)
    return found


SMALL = ["--seeds", "2", "--most_seeds", "4", "--control_seeds", "1", "--once", "[]", "--variants", "none,motion"]
SMALL += ["--further", "configs/setting_further_slide.yaml", "--controls", "configs/setting_easy_microwave.yaml"]
SMALL += ["--practice_episodes", "3", "--last", "2", "--episodes", "2", "--workers", "1"]


def test_seed_by_seed_the_table_fills_and_a_run_that_was_killed_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: list[str]
) -> None:
    config = asked(monkeypatch, tmp_path, *SMALL)
    whole = reach_runs.finetune

    def killed(unit: Any) -> None:
        if len([one for one in made if one.startswith("further_slide")]) == 3:
            raise KeyboardInterrupt
        whole(unit)

    monkeypatch.setattr(reach_runs, "finetune", killed)
    with pytest.raises(KeyboardInterrupt):
        practise_seeds(config)
    assert "No look yet: 1 of 2 seeds" in (config.out / "table.md").read_text()
    assert not (config.out / "summary.json").exists()
    monkeypatch.setattr(reach_runs, "finetune", whole)
    practise_seeds(config)
    runs = [one for one in made if "_seed_" in one and not one.startswith("evaluation")]
    assert runs == [
        *("further_slide none_seed_3", "further_slide motion_seed_3", "easy_microwave none_seed_3"),
        *("easy_microwave motion_seed_3", "further_slide none_seed_4", "further_slide motion_seed_4"),
    ]
    summary = json.loads((config.out / "summary.json").read_text())
    assert (summary["claim"]["look"], summary["claim"]["seeds_done"]) == (1, 2)
    assert summary["settings"]["further_slide"]["motion"]["final"]["value"] == 0
    practise_seeds(asked(monkeypatch, tmp_path, *SMALL, "--seeds", "4"))
    assert [one for one in made if "_seed_" in one and not one.startswith("evaluation")][6:] == [
        f"further_slide {variant}_seed_{seed}" for seed in (5, 6) for variant in ("none", "motion")
    ]
    assert json.loads((config.out / "summary.json").read_text())["claim"]["seeds_done"] == 4


@pytest.mark.parametrize("made", [True], indirect=True)
def test_practice_ends_where_the_first_look_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`motion` comes half of the way further in each run, so two seeds of four are enough."""
    config = asked(monkeypatch, tmp_path, *SMALL, "--seeds", "4", "--control_seeds", "0")
    practise_seeds(config)
    assert {one.rpartition("_")[2] for one in made if "_seed_" in one and "evaluation" not in one} == {"3", "4"}
    assert "no further seed is practised" in capsys.readouterr().out
    claim = json.loads((config.out / "summary.json").read_text())["claim"]
    assert claim["stopped"] and "**shown**" in claim["said"]


def test_runs_of_another_setting_or_other_inputs_are_not_pooled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: list[str]
) -> None:
    file = tmp_path / "setting_mine.yaml"
    file.write_text((REGISTERED.parent / "setting_further_slide.yaml").read_text())
    words = [str(file) if word == "configs/setting_further_slide.yaml" else word for word in SMALL]
    practise_seeds(asked(monkeypatch, tmp_path, *words))
    file.write_text(file.read_text().replace("residual_scale: 0.2", "residual_scale: 0.3"))
    with pytest.raises(UserError, match=r"holds a run with other settings \(said"):
        practise_seeds(asked(monkeypatch, tmp_path, *words, "--control_seeds", "2"))


def test_runs_of_a_predictor_that_was_trained_again_are_not_pooled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: list[str]
) -> None:
    monkeypatch.setattr(reach_runs, "reach_inputs", lambda config: {"predictor of slide": tmp_path})
    monkeypatch.setattr(reach_runs, "weights_digest", lambda path: "before")
    practise_seeds(asked(monkeypatch, tmp_path, *SMALL))
    monkeypatch.setattr(reach_runs, "weights_digest", lambda path: "after")
    with pytest.raises(UserError, match=r"holds a run with other settings \(weights"):
        practise_seeds(asked(monkeypatch, tmp_path, *SMALL))


def test_what_rewards_are_made_of_is_asked_for_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = asked(monkeypatch, tmp_path, "--predictors", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"missing input: predictor of microwave"):
        practise_seeds(config)
    assert not config.out.exists()
