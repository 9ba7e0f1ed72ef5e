"""The episodes of `mpr experiment calibration`: each a raw row as it comes, what is there already kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder, write_atomic
from rl.environments.kind import base_digest
from rl.environments.kitchen.opening import REST_STEPS
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.play import ResidualActor, play_episode
from rl.environments.setting import DoorOptions, names
from rl.experiments.calibration import CALIBRATION_FREE_KEYS, CALIBRATION_PARTS, PRACTISED, CalibrationConfig
from rl.experiments.calibration_table import CalibrationRow, calibration_lines, calibration_summary, refused
from rl.experiments.ceiling_episodes import expert_episode
from rl.residual.checkpoint import load_residual_policy
from rl.residual.train import finetune

Play = Callable[[int], dict[str, Any]]  # an episode of a seed


def calibrate(config: CalibrationConfig) -> None:
    """Play what is missing, goal by goal, cheap parts first, and write table.md and summary.json.

    Raises what `kitchen_with_base` raises, and UserError for rows that were played with another base policy.
    """
    with cpu_threads(config.threads):
        asked = as_dict(config) | {"rest_steps": REST_STEPS}
        run = RunFolder(config.out, "experiment calibration", asked, CALIBRATION_FREE_KEYS)
        for goal in config.candidates:
            for part in (part for part in CALIBRATION_PARTS if part in config.parts):
                _play_part(config, run, goal, part)
                if refused(_rows_of(run, goal, part), part):
                    break  # nothing behind it is asked
    lines = calibration_lines(run.metrics(CalibrationRow), config.episodes)
    write_atomic(run.path / "table.md", "\n".join(lines) + "\n")
    run.finish(calibration_summary(run.metrics(CalibrationRow), config.episodes))
    print("\n".join(lines))


def _rows_of(run: RunFolder, goal: float, part: str) -> list[dict[str, Any]]:
    return [row for row in run.metrics(CalibrationRow) if (row["goal_travel"], row["part"]) == (goal, part)]


def _play_part(config: CalibrationConfig, run: RunFolder, goal: float, part: str) -> None:
    """What is missing of a part's episodes of a goal."""
    made_of = "" if part == "expert" else base_digest(config.base)
    played = _rows_of(run, goal, part)
    if any(row["base_weights"] != made_of for row in played):
        raise UserError(f"{config.out} holds {part} episodes of another base policy than {config.base}: another --out")
    missing = [seed for seed in config.seeds if seed not in {row["seed"] for row in played}]
    if not missing:
        return
    run.reopen()
    about = {name: getattr(config, name) for name in (*names(DoorOptions), "task", "residual_scale")}
    about |= {"part": part, "rest_steps": REST_STEPS, "goal_travel": goal, "base_weights": made_of}
    with _player(config, goal, part) as play:
        for seed in tqdm(missing, desc=f"{config.task}, goal {goal:g}, {part}", unit="episode"):
            run.log(**about, seed=seed, **play(seed))


@contextmanager
def _player(config: CalibrationConfig, goal: float, part: str) -> Iterator[Play]:
    """Who plays the episodes of a part; practice comes first where it is one that practised."""
    residual = None
    if part in PRACTISED:
        run = config.run_of(goal, part)
        finetune(run)
        residual = ResidualActor(load_residual_policy(run.out)[0], config.residual_scale)
    with kitchen_with_base(config.setting(goal, free=part == "expert")) as environment:

        def play(seed: int) -> dict[str, Any]:
            if part in ("expert", "limited"):
                return expert_episode(environment, seed)
            row = play_episode(environment, residual, seed).row
            return {name: row[name] for name in ("success", "steps", "furthest_travel", "beyond_shown")}

        yield play
