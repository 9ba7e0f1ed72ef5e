"""`mpr finetune`: a frozen base policy in the kitchen, a residual policy that practises. Killed at any moment, it
resumes at the last checkpoint and ends as an unbroken run."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from tqdm import tqdm

from mpr.checkpoint import last_checkpoint, weights_digest
from mpr.reward import MOVED
from mpr.rewards import RewardModel
from rl.demonstrations import Demonstration, check_shown, load_demonstrations
from rl.diffusion.views import fingerprint
from rl.kitchen.environment import STEP_LIMIT
from rl.kitchen.with_base import ACTION, STATE, ZERO, Setting, base_digest, kitchen_with_base
from rl.residual.algorithm import ResidualSAC
from rl.residual.board import Board
from rl.residual.buffer import ResidualBuffer, buffer_bytes
from rl.residual.callback import EpisodeRewards
from rl.residual.checkpoint import checkpoint_bytes, restore, save_checkpoint
from rl.residual.demonstrations import check_fit, check_recorded, demonstration_buffer
from rl.residual.environment import FIRST_SEED, SELECTION, ResidualEnvironment
from rl.residual.policy import ResidualPolicy
from rl.residual.rewards import SEEING, Seeing, check_reward, find_reward
from tracking.config import Range, as_dict, check_ranges, parse, print_plan
from tracking.device import check_device, resolved_device
from tracking.errors import UserError
from tracking.runs import RunFolder, refuse_full_disk

SEEDS_A_RUN = 1_000  # so runs of different seeds share no episode
MOST_RUNS = (SELECTION - FIRST_SEED) // SEEDS_A_RUN


@dataclass(frozen=True)
class FinetuneConfig:
    """Train a residual policy on a frozen base policy, by SAC. The defaults are the paper's for its robot, but for an
    actor that starts at zero, a warm-up that is the base policy's own, returns of five steps, and an average of the
    actor to evaluate."""

    task: str = "microwave"  # microwave, hinge or slide
    base: Path = Path("runs/bc")  # run folder of `mpr bc`; zero: no base policy
    demos: Path = Path("runs/demos")  # demonstrations, from `mpr demos`: half of every batch
    count: int = 0  # practise with the first this many, by seed (as many as the base policy learned from); 0: all
    out: Path = Path("runs/finetune")  # run folder
    reward: str = "dense"  # motion, none, any_motion, dense or sparse
    predictor: Path | None = None  # run folder of `mpr train`: for reward motion
    tracker: str = "exact"  # of rewards motion and any_motion: exact or lucas_kanade
    view: str = "front"  # camera that these two look through
    moved: float = MOVED  # pixels of 256: for these two, a point tracked to move less counts 0
    bonus: float = 1.0  # added to the reward of the step that succeeds
    episodes: int = 100  # to practise
    ddim_steps: int = 10  # network evaluations for one chunk of the base policy
    alpha: float = 0.1  # residual scale: executed = base + alpha * residual
    ajar: bool = False  # the door starts ajar: up to 0.35 rad, slide 0.05 m
    fully: bool = False  # an episode ends where we call it open: slide at 0.25 m, not at FrankaKitchen-v1's 0.07 m
    seed: int = 0  # weights, sampling, and 1,000 episode seeds of its own
    pretrain: int = 10_000  # critic updates on demonstrations before the first episode
    ratio: float = 4.0  # updates per environment step, made after each episode
    warmup_steps: int = 300  # environment steps before the first update
    warmup: float = 0.0  # until then residuals are U[-warmup, warmup]; 0: the base policy alone
    batch: int = 64  # transitions an update, the smaller half from demonstrations
    half: bool = True  # false: no demonstrations in batches (then pretrain is 0)
    layer_norm: bool = True  # in the critics
    lr: float = 1e-4  # of actor, critics and entropy coefficient
    gamma: float = 0.99  # discount a step
    n_steps: int = 5  # rewards summed before the target critics are asked about the rest (the paper: 1)
    tau: float = 0.005  # target critics follow by this share an update
    average: float = 2e-4  # the actor evaluated moves to the one practising by this share an update; 1: it is that one
    entropy: str = "0.05"  # entropy coefficient: a number, or auto
    actor_init: str = "zero"  # zero, orthogonal or default
    log_std: float = -1.0  # zero-initialised actor: log standard deviation to begin with
    buffer: int = 20_000  # transitions kept, at least an episode's 150
    checkpoint_every: int = 10  # episodes
    threads: int = 1  # CPU threads; another number gives other last bits
    compile: bool = False  # updates by a C++ compiler, a third faster; other last bits
    device: str = "cpu"  # cpu or cuda

    def __post_init__(self) -> None:
        check_reward(self.reward, self.seeing)
        check_ranges(self, RANGES)
        if self.entropy != "auto" and _number(self.entropy) not in Range(0):
            raise UserError(f"--entropy {self.entropy}: it is auto or a number, at least 0")
        if not self.half and self.pretrain:
            raise UserError("--half false leaves no demonstrations to pretrain on: add --pretrain 0")
        check_device(self.device)
        if not 0 <= self.seed < MOST_RUNS or self.episodes > SEEDS_A_RUN:
            raise UserError(
                f"seed lies in 0 .. {MOST_RUNS - 1}, episodes in 1 .. {SEEDS_A_RUN}: each run has that many seeds of "
                "its own, below those of selection and evaluation"
            )

    @property
    def setting(self) -> Setting:
        device = resolved_device(self.device)
        return Setting(self.task, self.base, self.alpha, self.ddim_steps, self.ajar, self.fully, device)

    @property
    def seeing(self) -> Seeing:
        return Seeing(self.predictor, self.tracker, self.view, self.moved)

    @property
    def returns(self) -> dict[str, Any]:
        return {"n_steps": self.n_steps, "gamma": self.gamma}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


RANGES: dict[str, Range] = {
    **dict.fromkeys(("episodes", "batch", "checkpoint_every", "threads", "n_steps", "ddim_steps"), Range(1)),
    **dict.fromkeys(("count", "pretrain", "warmup_steps", "ratio", "bonus", "moved"), Range(0)),
    **dict.fromkeys(("alpha", "lr"), Range(0, above=True)),
    **dict.fromkeys(("gamma", "warmup"), Range(0, 1)),
    **dict.fromkeys(("tau", "average"), Range(0, 1, above=True)),
    "log_std": Range(LOG_STD_MIN, LOG_STD_MAX),  # where stable-baselines3 clips it
    "buffer": Range(STEP_LIMIT),  # an episode's rewards come at its end: it must be there whole
}
FREE = ("out", "checkpoint_every")  # may differ when a run is resumed


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(FinetuneConfig, argv, prog="mpr finetune")
    if dry_run:
        return _plan(config)
    finetune(config)


def finetune(config: FinetuneConfig) -> None:
    """The run that `config` describes, from wherever it stands."""
    torch.set_num_threads(config.threads)
    reward = find_reward(config.reward, config.task, config.seeing)
    with kitchen_with_base(config.setting, config.view if config.reward in SEEING else "") as environment:
        Finetuning(config, environment, reward).run()


def find_demonstrations(config: FinetuneConfig, environment: ResidualEnvironment) -> list[Demonstration]:
    """Those that a run practises with; none where it takes none. Raises BadDemonstration where they do not serve."""
    if not config.half:
        return []
    found = load_demonstrations(config.demos, config.count)
    check_fit(found, environment)
    check_shown(found, config.setting.goal)
    if config.reward in SEEING:
        check_recorded(found)
    return found


def _plan(config: FinetuneConfig) -> None:
    from rl.kitchen.tasks import find_task

    find_task(config.task)
    inputs = {"demos": config.demos} if config.half else {}
    if config.base != ZERO:
        inputs["base"] = config.base
    if config.reward == "motion" and config.predictor is not None:
        inputs["predictor"] = config.predictor
    facts = {"replay buffer, MB": round(buffer_bytes(config.buffer, STATE + ACTION, ACTION) / 1e6, 1)}
    facts["updates at most"] = config.pretrain + round(config.ratio * STEP_LIMIT * config.episodes)
    print_plan(config, inputs, facts, config.out)


class Finetuning:
    """One run: environment, learner, loop over episodes."""

    def __init__(self, config: FinetuneConfig, environment: ResidualEnvironment, reward: RewardModel) -> None:
        self.config, self.environment, self.reward = config, environment, reward
        self.model = make_learner(config, environment)
        print(f"the replay buffer takes {self.model.buffer.nbytes / 1e6:.1f} MB")
        self.clipped: float | None = None
        found = find_demonstrations(config, environment)  # refused now, not after the folder is made
        self.base_weights = base_digest(config.base)  # of what was loaded: the path may hold another one by and by
        seen = [d.recording.to_bytes() for d in found if d.recording] if config.reward in SEEING else []
        made_of = {
            "base_weights": self.base_weights,
            "data": fingerprint(found, *map(zlib.crc32, seen)) if found else "",
        }
        if config.reward == "motion" and config.predictor is not None:
            made_of["predictor_weights"] = weights_digest(config.predictor)
        self.folder = RunFolder(config.out, "finetune", as_dict(config) | made_of, FREE)
        if not self.folder.finished:
            refuse_full_disk(config.out, checkpoint_bytes(self.model))
        if found and not self.folder.finished:
            self._take_demonstrations(found)

    def _take_demonstrations(self, found: Sequence[Demonstration]) -> None:
        config = self.config
        buffer, self.clipped = demonstration_buffer(
            found, self.environment, self.reward, config.bonus, config.device, **config.returns
        )
        self.model.set_demonstrations(buffer)
        print(
            f"{len(found)} demonstrations, {buffer.size()} transitions, {buffer.nbytes / 1e6:.1f} MB; "
            f"{self.clipped:.0%} of their labels are further from the base policy than a residual reaches"
        )

    def run(self) -> None:
        config = self.config
        if self.folder.finished:
            return print(f"{config.out} is finished: {config.episodes} episodes")
        done = self._resume()
        self.model.set_logger(Logger(None, [Board(config.out / "tensorboard", done + 1)]))
        rewards = EpisodeRewards(self.reward, config.bonus)
        with tqdm(total=config.episodes, initial=done, unit="episode", desc="finetune") as bar:
            for episode in range(done + 1, config.episodes + 1):
                row = self._episode(episode, rewards)
                self.folder.log(**row)
                if episode % config.checkpoint_every == 0 or episode == config.episodes:
                    self._save(episode)
                bar.update()
                bar.set_postfix(success=f"{self._recent_success():.0%} of the last 20", refresh=False)
        self._finish()

    def _resume(self) -> int:
        """Episodes already done; with none, the critics' lessons from demonstrations come first."""
        found = last_checkpoint(self.config.out)
        done = restore(found, self.model) if found else 0
        self.folder.keep_metrics(lambda row: row["episode"] <= done)
        if found:
            print(f"resuming after episode {done} of {self.config.episodes}")
        elif self.config.pretrain:
            with tqdm(total=self.config.pretrain, unit="update", desc="critics, on demonstrations") as bar:

                def report(step: int, loss: float) -> None:
                    bar.update(step - bar.n)
                    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

                self.model.pretrain_critic(self.config.pretrain, self.config.batch, report)
            self._save(0)
        return done

    def _save(self, episodes: int) -> None:
        same = ("task", "alpha", "ddim_steps", "ajar", "fully")
        about = {name: getattr(self.config, name) for name in same}
        about |= {"base": str(self.config.base), "base_weights": self.base_weights}
        save_checkpoint(self.config.out, episodes, self.model, about)

    def _episode(self, number: int, rewards: EpisodeRewards) -> dict[str, Any]:
        """One episode, then its updates. What is returned does not depend on the clock, but for seconds."""
        start = time.perf_counter()
        self.model.learn(1, rewards, log_interval=10**9, reset_num_timesteps=False)
        seconds = time.perf_counter() - start
        episode = self.environment.finished
        assert episode is not None
        losses = {k.split("/")[1]: v for k, v in self.model.logger.name_to_value.items() if k.startswith("train/")}
        self.model.logger.dump(number)
        return {
            "episode": number,
            "seed": episode.about["seed"],
            "success": episode.success,
            "steps": len(episode),
            "reward": float(rewards.rewards.sum()),
            "residual": float(np.abs(episode.residual_actions).mean()),
            "updates": self.model._n_updates,
            **{k: float(v) for k, v in losses.items() if k in ("critic_loss", "actor_loss", "ent_coef")},
            "seconds": {"all": seconds, "rollout": rewards.rollout_seconds, "reward": rewards.seconds},
        }

    def _recent_success(self) -> float:
        return float(np.mean([row["success"] for row in self.folder.metrics()[-20:]]))

    def _finish(self) -> None:
        rows = self.folder.metrics()
        summary = {
            "episodes": len(rows),
            "success_last_20": self._recent_success(),
            "steps": self.model.num_timesteps,
            "updates": self.model._n_updates,
            "clipped_labels": self.clipped,
        }
        self.folder.finish(summary)
        print(f"{summary['success_last_20']:.0%} of the last 20 episodes succeeded (while exploring: no comparison)")


def make_learner(config: FinetuneConfig, environment: ResidualEnvironment) -> ResidualSAC:
    """The SAC that a config describes, its episodes' seeds set."""
    model = ResidualSAC(
        ResidualPolicy,
        environment,
        learning_rate=config.lr,
        buffer_size=config.buffer,
        learning_starts=config.warmup_steps,
        batch_size=config.batch,
        tau=config.tau,
        gamma=config.gamma,
        train_freq=(1, "episode"),
        gradient_steps=-1,
        replay_buffer_class=ResidualBuffer,
        replay_buffer_kwargs=config.returns,
        ent_coef=config.entropy if config.entropy == "auto" else float(config.entropy),
        policy_kwargs={
            "actor_init": config.actor_init,
            "log_std": config.log_std,
            "layer_norm": config.layer_norm,
            "average": config.average,
        },
        seed=config.seed,
        device=config.device,
        update_ratio=config.ratio,
        warmup=config.warmup,
        compile=config.compile,
    )
    model.get_env().seed(FIRST_SEED + SEEDS_A_RUN * config.seed)  # pyright: ignore[reportOptionalMemberAccess]
    return model
