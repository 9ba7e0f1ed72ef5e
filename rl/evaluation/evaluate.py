"""A base policy and base + residual on the same seeds: success (or return) with intervals, steps, curves, films."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from mpr.core.checkpoints import BadCheckpoint, refuse_unfinished, weights_digest
from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import NoGL
from mpr.core.processes import cpu_threads, mapped
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import RunFolder, write_atomic
from rl.environments.kind import base_digest
from rl.environments.play import BASE_NAME, Outcome, ResidualActor, play_episode
from rl.environments.practice import PracticeEnvironment
from rl.environments.setting import DoorOptions, names
from rl.evaluation.config import EVALUATE_FREE_KEYS, EvaluateConfig
from rl.evaluation.curves import draw_curves, practised_successes
from rl.evaluation.outcomes import compare_policies, comparison_table
from rl.evaluation.returns import compare_returns, return_table
from rl.evaluation.rows import tells_returns
from rl.residual.checkpoint import load_residual_policy

_PART = 20  # episodes that a process plays at a time
Policies = Mapping[str, ResidualActor | None]  # name -> residual; None is the base policy alone


def evaluate(config: EvaluateConfig) -> RunFolder:
    """Play what is missing of every policy's episodes, then write what came of them.

    That is table.md, curves.png, films, page.html and summary.json.
    """
    with cpu_threads(config.threads):
        run, names, filmed = _played(config)
    lines = _report(config, run, filmed)
    rows = run.metrics()
    compared = compare_returns if tells_returns(rows) else compare_policies
    run.finish({name: dataclasses.asdict(compared(rows, [name])) for name in names})
    print("\n".join(lines))
    return run


def _played(config: EvaluateConfig) -> tuple[RunFolder, list[str], list[Path]]:
    """The run with every episode in it, the policies' names, and the films there are."""
    names, filmed = [BASE_NAME, *(path.name for path in config.residuals)], film_files(config)
    if (config.out / "summary.json").exists() and not missing(run := open_evaluation(config), names, config.seeds):
        try:  # reported once more: only films could be missing
            if not all(file.exists() for file in filmed):
                with config.kind.open(config.setting, config.view) as environment:
                    films(config, environment, load_policies(config, environment))
        except NoGL as error:
            print(f"no films: {error}")
        return run, names, [file for file in filmed if file.exists()]
    with config.kind.open(config.setting, config.view if filmed else "") as environment:
        policies = load_policies(config, environment)
        run = open_evaluation(config)
        if config.workers == 1:
            play_all(run, environment, policies, config.seeds)
        else:
            play_apart(run, config, policies)
        return run, names, films(config, environment, policies)


def open_evaluation(config: EvaluateConfig) -> RunFolder:
    """The run folder. Raises UserError where it holds an evaluation of others."""
    weights = {path.name: weights_digest(path) for path in config.trained}
    return RunFolder(config.out, "evaluate", {**as_dict(config), "weights": weights}, EVALUATE_FREE_KEYS)


def load_policies(config: EvaluateConfig, environment: PracticeEnvironment) -> Policies:
    """The policies to play, by name: the base policy alone (None), and each residual policy.

    Raises BadCheckpoint for one of another environment or base policy, or that was shown something else.
    """
    residuals = {path.name: load_residual(config, path) for path in config.residuals}
    here = environment.observation_space.shape
    for name, actor in residuals.items():
        if (there := actor.policy.observation_space.shape) != here:
            raise BadCheckpoint(
                f"{name} was shown {there} numbers, this environment shows {here}: give the --env_options that it "
                "practised with"
            )
    return {BASE_NAME: None} | residuals


def load_residual(config: EvaluateConfig, path: Path) -> ResidualActor:
    """The newest policy of a run of `mpr finetune`. Raises BadCheckpoint for one of another environment or base."""
    refuse_unfinished(path, "mpr finetune")
    policy, about = load_residual_policy(path, config.setting.device)
    if about["env"] != config.env:
        raise BadCheckpoint(f"{path} practised {about['env']}, asked is {config.env}")
    digest = base_digest(config.base, config.kind)
    if about["base_weights"] != digest or (not digest and about["base"] != str(config.base)):
        raise BadCheckpoint(f"{path} practised on another base policy ({about['base']}) than {config.base} now holds")
    if about["ddim_steps"] != config.ddim_steps:
        raise BadCheckpoint(f"{path} practised with --ddim_steps {about['ddim_steps']}, asked is {config.ddim_steps}")
    if about.get("encoder_weights", "") != config.kind.made_of(config.setting).get("encoder_weights", ""):
        raise BadCheckpoint(f"{path} was shown another encoder's features: give --env_options '{about['env_options']}'")
    for name in (*names(DoorOptions), "env_options"):
        practised = about.get(name, getattr(EvaluateConfig, name))  # what an earlier version did not say was so
        if practised != getattr(config, name):
            print(f"{path} practised with {name} {practised}, here it is {getattr(config, name)}")
    return ResidualActor(policy, float(about["residual_scale"]))


def missing(run: RunFolder, names: Iterable[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """The (policy, seed) of which metrics.jsonl holds no line yet."""
    done, names = {(row["policy"], row["seed"]) for row in run.metrics()}, list(names)
    return [(name, seed) for seed in seeds for name in names if (name, seed) not in done]


def play_all(run: RunFolder, environment: PracticeEnvironment, policies: Policies, seeds: Sequence[int]) -> None:
    """Every policy's episode of every seed, one line of metrics.jsonl each; those there already are kept."""
    for name, seed in tqdm(missing(run, policies, seeds), desc="evaluate", unit="episode"):
        run.log(**play_episode(environment, policies[name], seed, name).row)


def play_apart(run: RunFolder, config: EvaluateConfig, names: Iterable[str]) -> None:
    """`play_all`, over processes: _PART episodes at a time, logged as they come."""
    todo = missing(run, names, config.seeds)
    units = [(config, todo[at : at + _PART]) for at in range(0, len(todo), _PART)]
    with tqdm(total=len(todo), desc="evaluate", unit="episode") as bar:
        for outcomes in mapped(played, units, config.workers, fresh=False):
            for outcome in outcomes:
                run.log(**outcome.row)
            bar.update(len(outcomes))


def played(unit: tuple[EvaluateConfig, list[tuple[str, int]]]) -> list[Outcome]:
    """Some policies' episodes of some seeds: what a worker does."""
    config, episodes = unit
    with cpu_threads(config.threads), config.kind.open(config.setting) as environment:
        policies = load_policies(config, environment)
        return [play_episode(environment, policies[name], seed, name) for name, seed in episodes]


def _report(config: EvaluateConfig, run: RunFolder, filmed: Sequence[Path]) -> list[str]:
    """Write table.md, page.html and, with residuals, curves.png; returns the table's lines."""
    rows, practised = run.metrics(), {path.name: path for path in config.residuals}
    returns = tells_returns(rows)
    lines = (return_table if returns else comparison_table)(rows, {name: [name] for name in practised})
    title = f"# {config.env}: {config.episodes} episodes of each, the same seeds, from {config.seed:,} on"
    text = "\n".join([title, "", *lines]) + "\n"
    write_atomic(run.path / "table.md", text)
    images = [run.path / "curves.png"] if practised else []
    if practised:
        measure = "return" if returns else "success"
        base = (
            compare_returns(rows, [BASE_NAME]).mean_return if returns else compare_policies(rows, [BASE_NAME]).success
        )
        curves = {name: [practised_successes(path, measure)] for name, path in practised.items()}
        draw_curves(images[0], curves, base, config.env, measure)
    write_page(
        run.path / "page.html", text + "\n" + media_markdown(*(p.relative_to(run.path) for p in (*images, *filmed)))
    )
    return lines


def film_files(config: EvaluateConfig) -> list[Path]:
    """Where an environment is filmed at all."""
    if not config.kind.filmed:
        return []
    return [config.out / "films" / f"{seed}_{config.view}.mp4" for seed in config.seeds[: config.videos]]


def films(config: EvaluateConfig, environment: PracticeEnvironment, policies: Policies) -> list[Path]:
    """films/SEED.mp4: one seed's episode under every policy. Where nothing can be rendered, it says so."""
    files = film_files(config)
    for seed, file in zip(config.seeds, files, strict=False):
        if file.exists():
            continue
        episodes: dict[str, Episode] = {}
        for name, residual in policies.items():
            play_episode(environment, residual, seed, name)
            assert environment.finished is not None
            episodes[name] = environment.finished
        try:
            config.kind.film(file, episodes, config.setting, config.view)
        except NoGL as error:
            print(f"no films: {error}")
            return []
    return files
