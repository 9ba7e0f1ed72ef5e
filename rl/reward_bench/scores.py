"""Every reward's score of every situation's episodes: the raw rows of `mpr bench rewards`. Killed, it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mpr.core.data.clip import TrackedClip
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder
from mpr.reward.model import Given, RewardModel, Track
from mpr.reward.registry import REWARDS, reward_class
from rl.environments.kitchen.config import EpisodesConfig
from rl.environments.kitchen.episodes import record_episodes
from rl.environments.kitchen.kind import KitchenKind
from rl.environments.kitchen.tasks import find_task
from rl.environments.setting import Setting
from rl.reward_bench.config import NULL_MODELS, PICTURED, SITUATIONS, RewardBenchConfig
from rl.reward_bench.figures import RewardBenchRow
from rl.reward_bench.situations import Showing, happening


def chosen_rewards(config: RewardBenchConfig) -> tuple[list[str], dict[str, str]]:
    """Names of the rewards to score, null models among them; and of those left out, why.

    Raises UserError where one that was asked for by name is no reward.
    """
    wanted = dict.fromkeys([*(config.rewards or REWARDS.names()), PICTURED, *NULL_MODELS])
    trained = representations_of(config)
    taken, left_out = [], {}
    for name in wanted:
        kind = reward_class(name)
        if not KitchenKind().gives("kitchen", kind):
            left_out[name] = f"it is for --env {kind.only}"
        elif kind.predicts and config.predictor is None:
            left_out[name] = "it needs --predictor RUN, a run folder of `mpr train`"
        elif kind.objective and kind.objective not in trained:
            left_out[name] = f"it needs --representations RUN, one of `mpr pretrain --objective {kind.objective}`"
        else:
            taken.append(name)
    return taken, left_out


def representations_of(config: RewardBenchConfig) -> dict[str, Path]:
    """The run folders of `mpr pretrain` by their objective.

    Raises BadCheckpoint for one that is none, UserError for two of one objective.
    """
    from mpr.core.checkpoints import wanted_checkpoint
    from mpr.representations.checkpoint import REPRESENTATION_CHECKPOINT

    found: dict[str, Path] = {}
    for run in config.representations:
        objective = wanted_checkpoint(run, REPRESENTATION_CHECKPOINT)[1]["objective"]
        if objective in found:
            raise UserError(
                f"--representations: {found[objective]} and {run} are both of objective {objective}: one each"
            )
        found[objective] = run
    return found


class Rewards:
    """Rewards by name, made for each task and view once. What they track is the clip that stands at the time."""

    def __init__(self, names: list[str], config: RewardBenchConfig) -> None:
        self.names, self.predictor, self.representations = names, config.predictor, representations_of(config)
        self.made: dict[tuple[str, str, str], RewardModel] = {}
        self.clip: TrackedClip | None = None

    def score(self, name: str, task: str, view: str, episode: Episode) -> list[float]:
        """What each step of an episode is paid, rounded. Raises UserError for a reward that does not serve here."""
        if (name, task, view) not in self.made:
            given = given_to(name, task, view, self.predictor, self.representations, lambda _: self._shown())
            self.made[name, task, view] = reward_class(name).of(given)
        scores = self.made[name, task, view].score(episode)
        if scores.shape != (len(episode),) or not np.isfinite(scores).all():
            raise UserError(f"it gave {scores.shape} numbers, or one that is none, for {len(episode)} steps")
        return [round(float(value), 5) for value in scores]

    @contextmanager
    def shown(self, clip: TrackedClip) -> Iterator[None]:
        """While it is open, rewards see this clip."""
        self.clip = clip
        try:
            yield
        finally:
            self.clip = None

    def _shown(self) -> nullcontext[TrackedClip]:
        assert self.clip is not None
        return nullcontext(self.clip)


def given_to(
    name: str, task: str, view: str, predictor: Path | None, representations: Mapping[str, Path], track: Track | None
) -> Given:
    """What the reward of that name is made of; a goal image is the kitchen's own, through the same camera."""
    kind = reward_class(name)
    goal = KitchenKind().goal_image(Setting(f"kitchen:{task}"), view) if kind.compares else None
    return Given(task, predictor, track, representation=representations.get(kind.objective), goal=goal)


def record_all(config: RewardBenchConfig) -> None:
    """The scripted episodes that are missing, of each task and kind."""
    for name, situation in SITUATIONS.items():
        task, out = config.task_of(name), config.episode_folder(name)
        record_episodes(EpisodesConfig(task, situation.kind, config.episodes, config.seed, config.view, out))


def episodes_of(config: RewardBenchConfig, situation: str) -> list[Path]:
    """The folders of a situation's episodes, by seed."""
    found = sorted(config.episode_folder(situation).glob("episode_*"), key=lambda one: int(one.name.split("_")[1]))
    return found[: config.episodes]


def score_all(config: RewardBenchConfig, run: RunFolder, names: list[str]) -> None:
    """Log a row for each situation, episode and reward that has none yet.

    A row holds what each step was paid, or why a reward gave nothing.
    """
    done = {(row["situation"], row["number"]) for row in run.metrics(RewardBenchRow) if row.get("last")}
    run.keep_metrics(lambda row: "situation" not in row or (row["situation"], row["number"]) in done)
    rewards = Rewards(names, config)
    units = [(name, number) for name in SITUATIONS for number in range(config.episodes) if (name, number) not in done]
    bar = tqdm(total=len(units), desc="episodes shown", unit="episode")
    for task in dict.fromkeys(config.task_of(name) for name, _ in units):
        with Showing(find_task(task), config.tracker) as showing:
            for situation, number in units:
                if config.task_of(situation) == task:
                    _score(config, run, rewards, showing, situation, number)
                    bar.update()
    bar.close()


def _score(
    config: RewardBenchConfig, run: RunFolder, rewards: Rewards, showing: Showing, situation: str, number: int
) -> None:
    recorded = load_episode(episodes_of(config, situation)[number])
    view, task = str(recorded.about["view"]), showing.task
    episode = happening(situation, task, recorded)
    assert episode.recording is not None
    travel = task.travel(episode.recording.qpos)
    about = {"situation": situation, "number": number, "seed": recorded.seed, "view": view, "task": task.name}
    about |= {"travel": [round(float(travel[0]), 4), round(float(travel[-1]), 4)]}
    with showing.clip(situation, episode, view) as clip, rewards.shown(clip):
        for k, name in enumerate(rewards.names):
            last = {"last": True} if k + 1 == len(rewards.names) else {}
            try:
                found: Mapping[str, object] = {"scores": rewards.score(name, task.name, view, episode)}
            except UserError as error:
                found = {"refused": str(error)}
            run.log(**about, reward=name, **found, **last)


def cost_of(asked: tuple[RewardBenchConfig, str, int]) -> dict[str, object]:
    """What scoring takes, episode by episode, in a process of its own: seconds a step, and GB at most.

    `asked`: the config, a reward's name, and how many of the openings. Tracking and rendering are part of it.
    """
    import resource

    from rl.environments.kitchen.tracked import tracked_from

    config, name, count = asked
    kind, took = reward_class(name), []
    folders = episodes_of(config, "opening")[:count]
    first = load_episode(folders[0])
    task, view = find_task(config.task), str(first.about["view"])
    track = tracked_from(task, view, config.tracker) if kind.sees else None
    reward = kind.of(given_to(name, config.task, view, config.predictor, representations_of(config), track))
    reward.score(first)  # what is loaded and compiled the first time is not counted
    for folder in folders:
        episode = load_episode(folder)
        start = time.perf_counter()
        reward.score(episode)
        took.append((time.perf_counter() - start) / len(episode))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"cost": name, "latency_s": took, "memory_gb": round(most, 3)}


def measure_costs(config: RewardBenchConfig, run: RunFolder, names: list[str]) -> None:
    """Log what each reward costs, one after another, each in a fresh process, where it is not logged yet."""
    from mpr.core.processes import mapped

    done = {row["cost"] for row in run.metrics(RewardBenchRow) if "cost" in row}
    for name in tqdm([name for name in names if name not in done], desc="latency and memory", unit="reward"):
        for row in mapped(cost_of, [(config, name, min(3, config.episodes))], workers=2):
            run.log(**row)
