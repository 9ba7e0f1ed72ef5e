"""`mpr bench rewards`: one report on any rewards: what they are paid for, beside null models, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.errors import UserError
from rl.reward_bench.config import BENCH_FREE_KEYS, BENCH_PRESETS, SITUATIONS, RewardBenchConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench rewards`: plays, scores, and writes table.md, summary.json and pictures from the raw rows."""
    config, dry_run = parse_config(RewardBenchConfig, argv, "mpr bench rewards", BENCH_PRESETS)
    given = {"predictor": config.predictor, "finetune": config.finetune}
    inputs = {name: path for name, path in given.items() if path is not None}
    inputs |= {f"representation {number}": path for number, path in enumerate(config.representations, 1)}
    if dry_run:
        facts = {"situations": ", ".join(SITUATIONS), "core-hours, about": f"{config.core_hours:.2f}"}
        return print_plan(config, inputs, facts, config.out)
    for name, path in inputs.items():
        if not path.exists():
            raise UserError(f"{name} {path} does not exist")
    _measure(config)


def _measure(config: RewardBenchConfig) -> None:
    """Everything that is missing of a run, then the report. Raises what rewards and trackers raise."""
    from mpr.core.checkpoints import refuse_unfinished, weights_digest
    from mpr.core.runs import RunFolder, write_atomic
    from mpr.reward.trackers import reward_tracker_inputs
    from rl.reward_bench import pictures, report, scores
    from rl.reward_bench.figures import RewardBenchRow
    from rl.reward_bench.models import chosen_rewards, class_of

    names, left_out = chosen_rewards(config)
    learnt = None
    if config.finetune is not None:
        from rl.reward_bench.learnt import LearntValue  # the learner's libraries: scoring does without

        learnt = LearntValue(config.finetune, config.task)
    reward_tracker_inputs(config.tracker)
    settings = as_dict(config)
    if config.predictor is not None:
        refuse_unfinished(config.predictor, "mpr train")
        settings["weights"] = weights_digest(config.predictor)
    settings["representations_weights"] = [weights_digest(one) for one in config.representations]
    run = RunFolder(config.out, "bench rewards", settings, BENCH_FREE_KEYS)
    run.reopen()
    scores.record_all(config)
    scores.score_all(config, run, names)
    left_out |= report.refusals(run.metrics(RewardBenchRow))
    names = [name for name in names if name not in left_out]
    scores.measure_costs(config, run, names)
    rows = run.metrics(RewardBenchRow)
    if learnt is None:
        left_out["learnt value"] = "no --finetune RUN, a run folder of `mpr finetune`, whose critics would tell it"
    figures = report.all_figures(rows, names)
    pictures.draw_demonstrations(run.path / pictures.DEMONSTRATIONS, rows, names)
    pictures.draw_success_and_miss(run.path / pictures.ALONG, config, rows, names, learnt)
    shown = f"![reward over demonstrations]({pictures.DEMONSTRATIONS})\n\n![a success and a miss]({pictures.ALONG})"
    if any(class_of(name).compares for name in names):
        pictures.draw_goals(run.path / pictures.GOALS, config)
        shown += f"\n\n![goals]({pictures.GOALS})"
    text = report.bench_table(config, figures, left_out, shown)
    write_atomic(run.path / "table.md", text)
    run.finish(report.bench_summary(figures, left_out))
    print(text)
