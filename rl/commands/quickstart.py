"""`mpr quickstart`: the whole method in a quarter of an hour, on what the project makes itself.

    clips ─ predictor ─┬─ practice ─ evaluation ─ page
    demonstrations ─ base ─┘  reward ───────────────┘

Stages are the other commands, each with a log of its own; as many as `workers` run side by side. Each resumes by
itself, so the same command goes on wherever it was killed, and ends as an unbroken one does.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tqdm import tqdm

from mpr.core.config import as_dict, parse_config, print_plan, setting_words, with_settings
from mpr.core.errors import UserError
from mpr.core.processes import mapped
from mpr.core.runs import RunFolder, write_atomic
from rl.environments.kitchen.tasks import find_task
from rl.environments.setting import Rules, names

EVALUATED = 800_000  # evaluation's seeds begin here: nothing else is ever chosen or reported on them
PREDICTOR = (  # configs/predictor_slide.yaml's, but for the number of steps: five minutes of one core
    "steps=700 compensate=mean augment.affine=0.7 augment.colour=0.8 augment.grey=0.1 augment.noise=0.3 "
    "augment.blur=0.15 augment.occlude=0.2 augment.progress_jitter=0.1"
)
OTHERS_TOO = set(names(Rules))  # what practice and evaluation must agree on
_SEEDS = 80  # quickstarts that share no seed of clips, demonstrations, practice or evaluation


@dataclass(frozen=True)
class QuickstartConfig:
    """Go through the whole method on what the project makes itself, and tell on one page what happened.

    Synthetic clips, a motion predictor, demonstrations, a base policy, practice with the motion reward, evaluation.
    """

    task: str = "slide"  # microwave, hinge or slide
    seed: int = 0  # of everything
    clips: int = 200  # synthetic clips of hands doing the task
    demonstrations: int = 2  # for the base policy, and for half of every batch of practice
    episodes: int = 100  # of practice
    evaluation: int = 100  # episodes of base, and of base + residual
    reward_episodes: int = 6  # scripted episodes of each kind that the reward is tried on
    predictor: str = PREDICTOR  # settings of `mpr train` that differ from its own
    base: str = "size=tiny lr=5e-4 steps=5000"  # of `mpr bc`
    practice: str = "utd=2"  # of `mpr finetune`
    workers: int = 2  # stages at a time
    out: Path = Path("runs/quickstart")  # run folder

    def __post_init__(self) -> None:
        find_task(self.task)
        if not 0 <= self.seed < _SEEDS:
            raise UserError(f"--seed {self.seed}: it lies in 0 .. {_SEEDS - 1}")
        for name in ("clips", "demonstrations", "episodes", "evaluation", "reward_episodes", "workers"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: it is at least 1")

    def folder(self, stage: str) -> Path:
        return self.out / ("predictors/" + self.task if stage == "predictor" else stage)


_STAGES = {  # in words, and as typed
    "clips": (
        "a hand opens synthetic appliances, seen from a moving head",
        "synth --task {clips_of} --clips {clips} --seed {clip_seed} --workers {workers}",
    ),
    "predictor": (
        "learns from the clips how the object's points move next",
        "train --clips {at[clips]} --seed {seed} --device cpu",
    ),
    "demonstrations": (
        "a scripted expert opens the robot's own door",
        "demos --task {task} --num_demos {demonstrations} --seed {demonstration_seed}",
    ),
    "base": (
        "a diffusion policy learns from the demonstrations",
        "bc --demos {at[demonstrations]} --seed {seed} --device cpu",
    ),
    "reward": (
        "is the reward higher for opening than for closing?",
        "experiment direction --predictors {out}/predictors --tasks {task} --kinds opening closing miss "
        "--rows motion --episodes {reward_episodes} --seed {evaluation_seed} --workers 1",
    ),
    "practice": (
        "a residual policy practises on top of the base policy, paid by the motion reward",
        "finetune --env kitchen:{task} --base {at[base]} --demos {at[demonstrations]} --reward motion "
        "--predictor {at[predictor]} --episodes {episodes} --seed {seed}",
    ),
    "evaluation": (
        "base, and base + residual, from the same starts",
        "evaluate --env kitchen:{task} --base {at[base]} --residuals {at[practice]} --episodes {evaluation} "
        "--seed {evaluation_seed} --workers {workers}",
    ),
}


@dataclass(frozen=True)
class QuickstartStage:
    """One command, and what it does in a few words."""

    name: str
    words: str
    argv: tuple[str, ...]


Chain = tuple[Path, tuple[QuickstartStage, ...]]  # the quickstart's folder, and stages that follow one another


def quickstart_stages(config: QuickstartConfig) -> dict[str, QuickstartStage]:
    """All stages, by name. Their seeds are `config.seed`'s own."""
    at = {name: config.folder(name) for name in _STAGES}
    values = vars(config) | {"at": at, "clips_of": find_task(config.task).clips}
    values |= {"clip_seed": 10_000 * (config.seed + 1), "demonstration_seed": 100 * config.seed}
    values |= {"evaluation_seed": EVALUATED + 1000 * config.seed}
    settings = {name: getattr(config, name) for name in ("predictor", "base", "practice")}
    made = {}
    for name, (words, typed) in _STAGES.items():
        argv = [word.format(**values) for word in shlex.split(typed)]  # split first: a path may hold spaces
        argv += setting_words(settings.get(name, ""), f"--{name}")
        made[name] = QuickstartStage(name, words, (*argv, "--out", str(at[name])))
    return made


def stage_waves(config: QuickstartConfig) -> list[list[Chain]]:
    """What runs side by side, then what runs after it."""
    of = quickstart_stages(config)
    plan = [
        [["clips"]],
        [["predictor"], ["demonstrations", "base"]],
        [["practice"], ["reward"]],
        [["evaluation"]],
    ]
    return [[(config.out, tuple(of[name] for name in chain)) for chain in wave] for wave in plan]


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr quickstart`: does the stages that are not done yet, and writes the page."""
    config, dry_run = parse_config(QuickstartConfig, argv, "mpr quickstart")
    if dry_run:
        facts = {one.name: "mpr " + shlex.join(one.argv) for one in quickstart_stages(config).values()}
        return print_plan(config, {}, facts, config.out)
    check_settings(config)
    run = RunFolder(config.out, "quickstart", as_dict(config), free=("out", "workers"))
    from rl.commands.quickstart_page import draw_strips, write_quickstart_page

    if not run.finished:
        with _watched(config, run):
            for wave in stage_waves(config):
                for _ in mapped(go, wave if config.workers > 1 else in_turn(wave), max(2, config.workers)):
                    pass
            draw_strips(config)
    write_quickstart_page(config, run)


def check_settings(config: QuickstartConfig) -> None:
    """Raises UserError for settings that a stage would refuse, or that are decided here."""
    from mpr.training.config import TrainConfig
    from rl.policies.diffusion.config import BcConfig
    from rl.residual.config import FinetuneConfig

    learners = {"predictor": TrainConfig, "base": BcConfig, "practice": FinetuneConfig}
    for name, learner in learners.items():
        decided = {word[2:] for word in shlex.split(_STAGES[name][1]) if word.startswith("--")}
        with_settings(learner, getattr(config, name), f"--{name}", decided | OTHERS_TOO | {"out"})


def in_turn(wave: Sequence[Chain]) -> list[Chain]:
    """One chain of all."""
    return [(wave[0][0], tuple(one for _, chain in wave for one in chain))]


def go(chain: Chain) -> None:
    """Run stages one after another: what a worker does. Raises UserError naming the stage that failed."""
    out, todo = chain
    from mpr.cli import main as mpr

    for one in todo:
        done = out / "stages" / f"{one.name}.json"
        if done.exists():
            continue
        log = out / "logs" / f"{one.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with log.open("a") as file:  # the process is this chain's own
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        status = mpr(one.argv)
        sys.stdout.flush()
        if status:
            raise UserError(f"stage {one.name} failed: {last_words(log)} (all it said: {log})")
        write_atomic(done, json.dumps({"seconds": time.perf_counter() - started}) + "\n")


def last_words(log: Path) -> str:
    """The last thing said, a progress bar's last state included."""
    text = log.read_text(errors="replace").replace("\r", "\n") if log.exists() else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


@contextmanager
def _watched(config: QuickstartConfig, run: RunFolder) -> Iterator[None]:
    """Once a second, show what the stages are at, and log seconds and memory, for as long as this is open.

    The seconds spent so far include attempts that were killed; the memory is what this command and its workers hold
    together, in GB.
    """
    names, over = list(quickstart_stages(config)), threading.Event()
    started, before = time.perf_counter(), max((row["wall"] for row in run.metrics()), default=0.0)

    def note() -> None:
        run.log(wall=time.perf_counter() - started + before, memory_gb=memory_gb())

    def look() -> None:
        with tqdm(total=len(names), desc="quickstart", unit="stage") as bar:
            while not over.wait(1.0):
                note()
                done = {name for name in names if (config.out / "stages" / f"{name}.json").exists()}
                logs = {name: config.out / "logs" / f"{name}.log" for name in names if name not in done}
                bar.update(len(done) - bar.n)
                bar.set_postfix_str(" · ".join(f"{n}: {last_words(f)[:60]}" for n, f in logs.items() if f.exists()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        note()


def memory_gb() -> float:
    """Resident memory of this process and all below it; what they share counts more than once."""
    me, total = psutil.Process(), 0
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e9
