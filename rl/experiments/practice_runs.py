"""The runs of `mpr experiment practice`: practised, evaluated and reported, what is there already kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.processes import mapped
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import RunFolder, read_metrics, write_atomic
from rl.environments.kind import base_digest
from rl.environments.setting import rules_of
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.curves import evaluations, practised_successes
from rl.evaluation.evaluate import evaluate
from rl.experiments.practice import PRACTICE_FREE_KEYS, PracticeConfig
from rl.experiments.practice_table import PracticeRaw, draw_practice, lines, practice_summary
from rl.residual.config import FinetuneConfig
from rl.residual.inputs import base_statistics
from rl.residual.rewards import find_reward
from rl.residual.train import find_demonstrations, finetune


def practise(config: PracticeConfig, units: Sequence[FinetuneConfig]) -> None:
    """Make what is missing of an experiment's runs, evaluate and report them."""
    practised = all((folder / "summary.json").exists() for folder in (config.out, *(unit.out for unit in units)))
    if not practised:  # else it is reported once more, which renders nothing
        check_runs(units[: len(config.variants)])  # one of each variant: refused now, not after the folder is made
    made_of = {"base_weights": base_digest(config.base)}
    run = RunFolder(config.out, "experiment practice", as_dict(config) | made_of, PRACTICE_FREE_KEYS)
    todo = [] if practised else units
    ended = mapped(finetune, todo, config.workers, engine=config.engine)
    for _ in tqdm(ended, total=len(todo), desc="practice", unit="run"):
        pass
    evaluated = evaluate(evaluation(config))
    _report(config, run, evaluated)


def check_runs(units: Sequence[FinetuneConfig]) -> None:
    """Raises UserError where runs of one environment and base policy lack what they are to be made of."""
    with units[0].kind.open(units[0].setting) as environment:
        for unit in units:
            find_demonstrations(unit, environment)
            find_reward(unit.reward, unit.setting, unit.reward_view)
            if unit.normalise_inputs:
                base_statistics(environment)


def evaluation(config: PracticeConfig, runs: Sequence[Path] = (), **changes: int) -> EvaluateConfig:
    """Every final policy (or those of `runs`) and the base, on the same seeds; `changes`: to videos and workers."""
    every = [config.folder(variant, seed) for variant in config.variants for seed in range(config.seeds)]
    same = {name: getattr(config, name) for name in ("base", "episodes", "seed", "videos", "workers")} | changes
    where, residuals = f"kitchen:{config.task}", tuple(runs or every)
    return EvaluateConfig(where, **same, **rules_of(config), residuals=residuals, out=config.out / "evaluation")


def _report(config: PracticeConfig, run: RunFolder, evaluated: RunFolder) -> None:
    """table.md, images, page.html and summary.json out of the runs' own files."""
    folders = {variant: [config.folder(variant, seed) for seed in range(config.seeds)] for variant in config.variants}
    raw = PracticeRaw(
        rows=evaluated.metrics(),
        variants={variant: [folder.name for folder in some] for variant, some in folders.items()},
        practised={variant: [practised_successes(folder) for folder in some] for variant, some in folders.items()},
        evaluated={v: [evaluations(read_metrics(folder)) for folder in some] for v, some in folders.items()},
    )
    steps = config.run_of(config.variants[0], 0).total_steps
    long = f"{config.practice_episodes} episodes" if steps is None else f"{steps:,} steps"
    title = f"# {config.task}: {long} of practice, {config.seeds} training seed{'s' if config.seeds > 1 else ''}"
    under = f"{config.episodes} evaluation episodes from seed {config.seed:,}, the same for all; final policies."
    found = lines(raw, config.against)
    text = "\n".join([title, "", under, "", *found]) + "\n"
    write_atomic(run.path / "table.md", text)
    images = draw_practice(run.path, raw, config.task)
    films = sorted((evaluated.path / "films").glob("*.mp4"))
    write_page(
        run.path / "page.html", text + "\n" + media_markdown(*(p.relative_to(run.path) for p in (*images, *films)))
    )
    run.finish(practice_summary(raw))
    print("\n".join(found))
