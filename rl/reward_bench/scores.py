"""Every reward's score of every situation's episodes: the raw rows of `mpr bench rewards`. Killed, it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpr.core.data.clip import TrackedClip
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads, mapped
from mpr.core.runs import RunFolder
from rl.environments.kitchen.config import EpisodesConfig
from rl.environments.kitchen.episodes import record_episodes
from rl.environments.kitchen.tasks import find_task
from rl.reward_bench.config import SITUATIONS, RewardBenchConfig
from rl.reward_bench.figures import RewardBenchRow
from rl.reward_bench.models import class_of, made_reward
from rl.reward_bench.situations import happening, showing

ScoreUnit = tuple[RewardBenchConfig, list[str], str, int]  # rows, and a situation's episode by its number


def record_all(config: RewardBenchConfig) -> None:
    """The scripted episodes that are missing, of each task and kind: a process records a kind."""
    asked = {
        config.episode_folder(name): EpisodesConfig(
            config.task_of(name), one.kind, config.episodes, config.seed, config.view, config.episode_folder(name)
        )
        for name, one in SITUATIONS.items()
    }
    todo = [one for out, one in asked.items() if not (out / "summary.json").exists()]
    for _ in mapped(record_episodes, todo, config.workers, fresh=False):
        pass


def episodes_of(config: RewardBenchConfig, situation: str) -> list[Path]:
    """The folders of a situation's episodes, by seed."""
    found = sorted(config.episode_folder(situation).glob("episode_*"), key=lambda one: int(one.name.split("_")[1]))
    return found[: config.episodes]


def score_all(config: RewardBenchConfig, run: RunFolder, rewards: Sequence[str]) -> None:
    """Log a row for each situation, episode and reward that has none yet, an episode in a situation at a time.

    A row holds what each step was paid, or why a reward gave nothing.
    """
    done = {(row["situation"], row["number"]) for row in run.metrics(RewardBenchRow) if row.get("last")}
    run.keep_metrics(lambda row: "situation" not in row or (row["situation"], row["number"]) in done)
    units = [
        (config, list(rewards), name, number)
        for name in SITUATIONS
        for number in range(config.episodes)
        if (name, number) not in done
    ]
    shown = mapped(score_episode, units, config.workers, fresh=False)
    for *rows, last in tqdm(shown, total=len(units), desc="episodes shown", unit="episode"):
        for row in rows:
            run.log(**row)
        run.log(**last, last=True)


def score_episode(unit: ScoreUnit) -> list[dict[str, Any]]:
    """What a worker does: show an episode as a situation has it, and ask every reward what it pays."""
    config, rewards, situation, number = unit
    recorded = load_episode(episodes_of(config, situation)[number])
    task, view = find_task(config.task_of(situation)), str(recorded.about["view"])
    episode = happening(situation, task, recorded)
    assert episode.recording is not None
    travel = task.travel(episode.recording.qpos)
    about = {"situation": situation, "number": number, "seed": recorded.seed, "view": view, "task": task.name}
    about |= {"travel": [round(float(travel[0]), 4), round(float(travel[-1]), 4)]}
    rows = []
    with cpu_threads(1), showing(task, config.tracker).clip(situation, episode, view) as clip:
        for name in rewards:
            try:
                found: dict[str, Any] = {"scores": paid_in(name, config, situation, view, episode, clip)}
            except UserError as error:
                found = {"refused": str(error)}
            rows.append({**about, "reward": name, **found})
    return rows


def paid_in(
    name: str, config: RewardBenchConfig, situation: str, view: str, episode: Episode, clip: TrackedClip
) -> list[float]:
    """What a reward pays each step of an episode of which it sees that clip, rounded.

    Raises UserError for one that does not serve here.
    """
    task, mirrored = config.task_of(situation), situation == "mirrored"
    scores = made_reward(name, config, task, view, lambda _: nullcontext(clip), mirrored).score(episode)
    if scores.shape != (len(episode),) or not np.isfinite(scores).all():
        raise UserError(f"it gave {scores.shape} numbers, or one that is none, for {len(episode)} steps")
    return [round(float(value), 5) for value in scores]


def cost_of(asked: tuple[RewardBenchConfig, str, int]) -> dict[str, object]:
    """What scoring takes, episode by episode, in a process of its own: seconds a step, of them CPU, and GB at most.

    `asked`: the config, a reward's name, and how many of the openings. Tracking and rendering are part of it.
    """
    import resource

    from rl.environments.kitchen.tracked import tracked_from

    config, name, count = asked
    took, worked = [], []
    folders = episodes_of(config, "opening")[:count]
    first = load_episode(folders[0])
    task, view = find_task(config.task), str(first.about["view"])
    track = tracked_from(task, view, config.tracker) if class_of(name).sees else None
    with cpu_threads(1, opencv=True):
        reward = made_reward(name, config, config.task, view, track)
        reward.score(first)  # what is loaded and compiled the first time is not counted
        for folder in folders:
            episode = load_episode(folder)
            start, busy = time.perf_counter(), time.process_time()
            reward.score(episode)
            took.append((time.perf_counter() - start) / len(episode))
            worked.append((time.process_time() - busy) / len(episode))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"cost": name, "latency_s": took, "cpu_s": worked, "memory_gb": round(most, 3)}


def measure_costs(config: RewardBenchConfig, run: RunFolder, names: list[str]) -> None:
    """Log what each reward costs, one after another, each in a fresh process, where it is not logged yet.

    The null models of one reward alone are left out: nobody practises with them.
    """
    done = {row["cost"] for row in run.metrics(RewardBenchRow) if "cost" in row}
    todo = [name for name in names if ":" not in name and name not in done]
    for name in tqdm(todo, desc="latency and memory", unit="reward"):
        for row in mapped(cost_of, [(config, name, min(3, config.episodes))], workers=2):
            run.log(**row)
