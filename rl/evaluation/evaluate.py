"""`mpr evaluate`: a base policy and base + residual on the same seeds: success with intervals, steps, curves, films."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from mpr.checkpoint import BadCheckpoint, refuse_unfinished, weights_digest
from mpr.episode import Episode
from mpr.page import shown, write_page
from rl.curves import draw_curves, practised_successes
from rl.kitchen.camera import camera_path
from rl.kitchen.films import film
from rl.kitchen.tasks import find_task
from rl.kitchen.with_base import ZERO, Setting, base_digest, kitchen_with_base
from rl.outcomes import BASE, Outcome, Residual, compare, play, table
from rl.residual.checkpoint import load_policy
from rl.residual.environment import SELECTION, ResidualEnvironment
from tracking.config import as_dict, parse, print_plan
from tracking.device import check_device, resolved_device
from tracking.errors import NoGL, UserError
from tracking.processes import mapped
from tracking.runs import RunFolder, write_atomic

FREE = ("out", "videos", "view", "workers")  # may differ when a run is resumed
PART = 20  # episodes that a process plays at a time
Policies = Mapping[str, Residual | None]  # name -> residual; None is the base policy alone


@dataclass(frozen=True)
class EvaluateConfig:
    """Success of a frozen base policy, and of residual policies on top of it, on the same seeds."""

    task: str = "microwave"  # microwave, hinge or slide
    base: Path = Path("runs/bc")  # run folder of `mpr bc`; zero: no base policy
    residuals: tuple[Path, ...] = ()  # run folders of `mpr finetune` on that base, as [runs/finetune]
    episodes: int = 100  # of each policy
    seed: int = SELECTION  # of the first episode: 500,000 and up to choose anything, 700,000 and up to report, once
    ddim_steps: int = 10  # network evaluations for one chunk of the base policy
    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    fully: bool = False  # an episode ends where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m
    videos: int = 3  # episodes filmed, all policies side by side; 0: none
    view: str = "front"  # camera of the films
    workers: int = 1  # processes; any number gives the same outcomes
    threads: int = 1  # CPU threads of each; another number gives other last bits
    device: str = "cpu"  # cpu or cuda
    out: Path = Path("runs/evaluate")  # run folder

    def __post_init__(self) -> None:
        if min(self.episodes, self.threads, self.workers) < 1 or self.videos < 0:
            raise UserError("episodes, threads and workers are at least 1, videos at least 0")
        if self.seed < SELECTION:
            raise UserError(f"--seed {self.seed}: below {SELECTION:,} are seeds of demonstrations and practice")
        check_device(self.device)
        camera_path(find_task(self.task), self.view, 1)  # refuses a view or task that does not exist
        names = [BASE, *(path.name for path in self.residuals)]
        if len(set(names)) < len(names):
            raise UserError(f"policies are told apart by the names of their folders, here {', '.join(names)}")

    @property
    def setting(self) -> Setting:
        where = {"ddim_steps": self.ddim_steps, "ajar": self.ajar, "fully": self.fully}
        where["device"] = resolved_device(self.device)
        return Setting(self.task, self.base, **where)

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.episodes)


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(EvaluateConfig, argv, prog="mpr evaluate")
    inputs = {path.name: path for path in config.residuals}
    if config.base != ZERO:
        inputs[BASE] = config.base
    if dry_run:
        return print_plan(config, inputs, {"episodes": config.episodes * (1 + len(config.residuals))}, config.out)
    evaluate(config)


def evaluate(config: EvaluateConfig) -> RunFolder:
    """Play what is missing of every policy's episodes, then write table.md, curves.png, films, page.html and
    summary.json."""
    torch.set_num_threads(config.threads)
    with kitchen_with_base(config.setting, config.view if config.videos else "") as environment:
        policies = load_policies(config)
        weights = {path.name: weights_digest(path) for path in (config.base, *config.residuals) if path != ZERO}
        run = RunFolder(config.out, "evaluate", {**as_dict(config), "weights": weights}, FREE)
        if config.workers == 1:
            play_all(run, environment, policies, config.seeds)
        else:
            play_apart(run, config, policies)
        filmed = films(config, environment, policies)
    lines = report(config, run, filmed)
    run.finish({name: dataclasses.asdict(compare(run.metrics(), [name])) for name in policies})
    print("\n".join(lines))
    return run


def load_policies(config: EvaluateConfig) -> Policies:
    return {BASE: None} | {path.name: load_residual(config, path) for path in config.residuals}


def load_residual(config: EvaluateConfig, path: Path) -> Residual:
    """The newest policy of a run of `mpr finetune`. Raises BadCheckpoint for one of another task or base policy."""
    refuse_unfinished(path, "mpr finetune")
    policy, about = load_policy(path, config.setting.device)
    if about["task"] != config.task:
        raise BadCheckpoint(f"{path} practised {about['task']}, asked is {config.task}")
    if about["base_weights"] != base_digest(config.base):
        raise BadCheckpoint(f"{path} practised on another base policy ({about['base']}) than {config.base} now holds")
    if about["ddim_steps"] != config.ddim_steps:
        raise BadCheckpoint(f"{path} practised with --ddim_steps {about['ddim_steps']}, asked is {config.ddim_steps}")
    for name in ("ajar", "fully"):
        if about[name] != getattr(config, name):
            print(f"{path} practised with {name} {about[name]}, here it is {getattr(config, name)}")
    return Residual(policy, float(about["alpha"]))


def missing(run: RunFolder, names: Iterable[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """The (policy, seed) of which metrics.jsonl holds no line yet."""
    done, names = {(row["policy"], row["seed"]) for row in run.metrics()}, list(names)
    return [(name, seed) for seed in seeds for name in names if (name, seed) not in done]


def play_all(run: RunFolder, environment: ResidualEnvironment, policies: Policies, seeds: Sequence[int]) -> None:
    """Every policy's episode of every seed, one line of metrics.jsonl each; those there already are kept."""
    for name, seed in tqdm(missing(run, policies, seeds), desc="evaluate", unit="episode"):
        run.log(**dataclasses.asdict(play(environment, policies[name], seed, name)))


def play_apart(run: RunFolder, config: EvaluateConfig, names: Iterable[str]) -> None:
    """`play_all`, over processes: PART episodes at a time, logged as they come."""
    todo = missing(run, names, config.seeds)
    units = [(config, todo[at : at + PART]) for at in range(0, len(todo), PART)]
    with tqdm(total=len(todo), desc="evaluate", unit="episode") as bar:
        for outcomes in mapped(played, units, config.workers, fresh=False):
            for outcome in outcomes:
                run.log(**dataclasses.asdict(outcome))
            bar.update(len(outcomes))


def played(unit: tuple[EvaluateConfig, list[tuple[str, int]]]) -> list[Outcome]:
    """Some policies' episodes of some seeds: what a worker does."""
    config, episodes = unit
    torch.set_num_threads(config.threads)
    with kitchen_with_base(config.setting) as environment:
        policies = load_policies(config)
        return [play(environment, policies[name], seed, name) for name, seed in episodes]


def report(config: EvaluateConfig, run: RunFolder, filmed: Sequence[Path]) -> list[str]:
    """Write table.md, page.html and, with residuals, curves.png; returns the table's lines."""
    rows, practised = run.metrics(), {path.name: path for path in config.residuals}
    lines = table(rows, {name: [name] for name in practised})
    title = f"# {config.task}: {config.episodes} episodes of each, the same seeds, from {config.seed:,} on"
    text = "\n".join([title, "", *lines]) + "\n"
    write_atomic(run.path / "table.md", text)
    pictures = [run.path / "curves.png"] if practised else []
    if practised:
        curves = {name: [practised_successes(path)] for name, path in practised.items()}
        draw_curves(pictures[0], curves, compare(rows, [BASE]).success, config.task)
    write_page(run.path / "page.html", text + "\n" + shown(*(p.relative_to(run.path) for p in (*pictures, *filmed))))
    return lines


def films(config: EvaluateConfig, environment: ResidualEnvironment, policies: Policies) -> list[Path]:
    """films/SEED.mp4: one seed's episode under every policy. Where nothing can be rendered, it says so."""
    files = [config.out / "films" / f"{seed}_{config.view}.mp4" for seed in config.seeds[: config.videos]]
    for seed, file in zip(config.seeds, files, strict=False):
        if file.exists():
            continue
        episodes: dict[str, Episode] = {}
        for name, residual in policies.items():
            play(environment, residual, seed, name)
            assert environment.finished is not None
            episodes[name] = environment.finished
        try:
            film(file, episodes, find_task(config.task), config.view)
        except NoGL as error:
            print(f"no films: {error}")
            return []
    return files
