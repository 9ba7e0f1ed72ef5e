"""`mpr episodes`: record scripted kitchen episodes of one task and kind into a folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mpr.episode import save_episode
from rl.kitchen.camera import VIEWS, camera_path, view_names
from rl.kitchen.episodes import KINDS, attempt_episode, find_kind
from rl.kitchen.tasks import TASKS, find_task
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder

CYCLES = {"all": view_names(), "development": view_names(held_out=False)}
MOST_FAILURES = 20  # in a row: then something is wrong, not unlucky


@dataclass(frozen=True)
class EpisodesConfig:
    """Record scripted Franka Kitchen episodes: joint positions and cameras; pictures are rendered when wanted."""

    task: str = "microwave"  # microwave, hinge or slide
    kind: str = "opening"  # opening, closing, jiggling, miss or partial
    episodes: int = 10  # how many to record
    seed: int = 500_000  # first seed; one that gives no episode of this kind is skipped and counted
    view: str = "development"  # a view's name, or `development` or `all`: episode by episode through those
    out: Path = Path("runs/episodes")  # folder: one episode folder each, and metrics.jsonl

    def __post_init__(self) -> None:
        find_task(self.task)
        find_kind(self.kind)
        if self.view not in CYCLES:
            if self.view not in VIEWS:
                raise UserError(f"no kitchen view '{self.view}'; there is {', '.join([*CYCLES, *VIEWS])}")
            camera_path(TASKS[self.task], self.view, 1)
        if not 1 <= self.episodes <= 1_000_000:
            raise UserError(f"--episodes {str(self.episodes)[:20]}: 1 to 1,000,000")
        if self.seed < 0:
            raise UserError(f"--seed {str(self.seed)[:20]}: at least 0")


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(EpisodesConfig, argv, prog="mpr episodes")
    views = CYCLES.get(config.view, (config.view,))
    if dry_run:
        facts = {"views": ", ".join(views), "kinds": ", ".join(KINDS), "size": f"about {config.episodes * 0.1:.1f} MB"}
        print_plan(config, inputs={}, facts=facts, out=config.out)
        return
    run = RunFolder(config.out, "episodes", as_dict(config), free=("out", "episodes"))
    tried = {row["seed"]: row["failed"] for row in run.metrics()}
    done = sum(not failed for failed in tried.values())
    seed, failures = config.seed + len(tried), 0
    with tqdm(total=config.episodes, initial=done, desc=f"{config.task} {config.kind}") as bar:
        while done < config.episodes:
            episode = attempt_episode(config.task, config.kind, seed, views[done % len(views)])
            failed = episode if isinstance(episode, str) else ""
            if not isinstance(episode, str):
                save_episode(episode, config.out / f"episode_{seed}")
                done, failures = done + 1, 0
                bar.update()
            else:
                failures += 1
            run.log(seed=seed, failed=failed, steps=0 if isinstance(episode, str) else len(episode))
            if failures > MOST_FAILURES:
                raise UserError(f"{failures} seeds in a row gave no {config.kind} of {config.task}; the last: {failed}")
            seed += 1
    rows = run.metrics()
    steps = [row["steps"] for row in rows if not row["failed"]]
    run.finish({"episodes": done, "seeds_tried": len(rows), "mean_steps": sum(steps) / max(len(steps), 1)})
    print(f"{done} episodes of {len(rows)} seeds in {config.out}")
