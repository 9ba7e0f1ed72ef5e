"""Residual practice: a frozen base policy in an environment, a residual policy that practises.

Killed at any moment, it resumes at the last checkpoint and ends as an unbroken run.
"""

from __future__ import annotations

import gc
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger
from tqdm import tqdm

from mpr.core.checkpoints import weights_digest
from mpr.core.checksums import sha256
from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.data.steps import spacing, spacing_summary
from mpr.core.errors import UserError
from mpr.core.fit import Fit
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder, recorded_setting, refuse_full_disk
from mpr.reward.model import RewardModel
from mpr.reward.registry import reward_class
from rl.data.demonstrations import check_ends_short, check_shown, load_demonstrations
from rl.environments.kind import base_digest
from rl.environments.play import ResidualActor, play_episode
from rl.environments.practice import PracticeEnvironment, Stopped
from rl.environments.setting import Rules, names
from rl.environments.starts import SELECTION, InTurn
from rl.policies.diffusion.views import fingerprint
from rl.policies.residual import ResidualPolicy
from rl.residual.algorithm import ResidualSAC
from rl.residual.buffer import ResidualBuffer
from rl.residual.callback import EpisodeRewards
from rl.residual.checkpoint import checkpoint_bytes, kept_signal_weight, restore_residual, save_residual_checkpoint
from rl.residual.config import AUTO, FINETUNE_FREE_KEYS, WORTH_COMPILING, FinetuneConfig
from rl.residual.demonstrations import check_fit, check_recorded, clipped_share, fill_buffer, label_all
from rl.residual.fast.compiled import compiles_here
from rl.residual.inputs import NormalisedFlatten, base_statistics
from rl.residual.one_at_a_time import OneAtATime
from rl.residual.reward_form import RewardForm, best_pace, check_finishing, weight_for
from rl.residual.rewards import find_reward, step_signal


def finetune(config: FinetuneConfig) -> None:
    """The run that `config` describes, from wherever it stands."""
    try:
        _finetune(config)
    finally:
        gc.collect()  # learner and environment refer to one another: their 0.3 GB go now, not by and by


def _finetune(config: FinetuneConfig) -> None:
    reward = find_reward(config.reward, config.setting, config.reward_view)
    view = config.view if config.sees else ""
    with cpu_threads(config.threads), config.kind.open(config.setting, view) as environment:
        Finetuning(config, environment, reward).run()


def find_demonstrations(config: FinetuneConfig, environment: PracticeEnvironment) -> list[Episode]:
    """Those that a run practises with; none where it takes none. Raises BadDemonstration where they do not serve."""
    if not config.demonstrated:
        return []
    found = load_demonstrations(config.demos, config.num_demos)
    check_fit(found, environment)
    if goal := config.kind.goal(config.setting):
        check_shown(found, goal)
    if config.kind.ends_short(config.asked):
        check_ends_short(found)
    if config.sees:
        check_recorded(found)
    return found


def step_limit(environment: PracticeEnvironment) -> int | None:
    """The most steps of an episode, where an environment of gymnasium's own tells it."""
    return getattr(getattr(environment, "spec", None), "max_episode_steps", None)


def form_of(config: FinetuneConfig, signals: Sequence[NDArray[np.float32]], actions: int) -> RewardForm:
    """The form of a run's rewards, once demonstrations' signals, each [T], are known; a resumed run keeps its own.

    `actions`: numbers of an action. Raises UserError where finishing would be a loss at the best demonstration's pace.
    """
    form, share = config.reward_form, config.signal_share
    if share is not None:
        weight = kept_signal_weight(config.out) or weight_for(share, signals, config.reward)
        form = replace(form, signal_weight=weight)
        print(f"signal_weight {weight:.4g}: demonstrations are paid {share:.0%} of the time that they take")
    if config.scaled:
        pace = 0.0 if form.potential else best_pace(signals)  # what a potential gave, it takes back
        worth = check_finishing(form, config.temperature(actions), pace)
        print(f"never to finish, at the best demonstration's pace, is worth {worth:.3g}; a success {form.bonus:g}")
    return form


class Finetuning:
    """One run: environment, learner, loop over episodes."""

    def __init__(self, config: FinetuneConfig, environment: PracticeEnvironment, reward: RewardModel) -> None:
        self.config, self.environment, self.reward = config, environment, reward
        if (steps := step_limit(environment)) is not None:
            config.check_buffer(steps)
            if (most := config.most_steps(steps)) <= config.learning_starts:
                starts = f"the first update comes after {config.learning_starts} (--warmup_steps)"
                print(f"no update will be made: practice has at most {most} steps, {starts}")
        found = find_demonstrations(config, environment)  # refused now, not after the folder is made
        compiled = updates_compiled(config, environment)
        self.model = make_learner(config, environment, compiled)
        print(f"the replay buffer takes {self.model.buffer.nbytes / 1e6:.1f} MB")
        self.clipped: float | None = None
        self.form = config.reward_form
        self._points: dict[str, float] = {}  # of the last episode, on the board
        self.base_weights = base_digest(config.base, config.kind)  # of what was loaded: the path may hold another soon
        seen = [d.recording.to_bytes() for d in found if d.recording] if config.sees else []
        made_of = {
            "base_weights": self.base_weights,
            "data": fingerprint(found, *map(zlib.crc32, seen)) if found else "",
            **config.kind.made_of(config.setting),
        }
        of = reward_class(config.reward)
        if config.predictor is not None and of.predicts:
            made_of["predictor_weights"] = weights_digest(config.predictor)
        if config.representation is not None and of.objective:
            made_of["representation_weights"] = weights_digest(config.representation)
        if config.goal_image is not None and of.compares:
            made_of["goal_image_sha256"] = sha256(config.goal_image)
        settings = as_dict(config) | {"compile": compiled} | made_of
        self.folder = RunFolder(config.out, "finetune", settings, FINETUNE_FREE_KEYS)
        if not self.folder.finished:
            refuse_full_disk(config.out, checkpoint_bytes(self.model))
        if found and not self.folder.finished:
            self._take_demonstrations(found)

    def _take_demonstrations(self, found: Sequence[Episode]) -> None:
        config = self.config
        shown = label_all(found, self.environment, config.demo_action == "executed")
        signals = [step_signal(self.reward, one.episode) for one in shown]
        self.form = self._form([signal[one.kept] for one, signal in zip(shown, signals, strict=True) if one.kept.any()])
        buffer = fill_buffer(shown, signals, self.environment, self.form, config.device, **config.returns)
        self.clipped = clipped_share(shown)
        self.model.set_demonstrations(buffer, config.demo_fraction)
        come = spacing_summary(spacing(*((d.times, d.gaps) for d in found)))
        left_out = f" ({come}: left out)" if buffer.left_out else ""
        print(
            f"{len(found)} demonstrations, {buffer.size()} transitions{left_out}, {buffer.nbytes / 1e6:.1f} MB; "
            f"{self.clipped:.0%} of their labels are further from the base policy than a residual reaches"
        )

    def _form(self, signals: Sequence[NDArray[np.float32]]) -> RewardForm:
        """The form of rewards, once demonstrations' signals, each [T], are known; a resumed run keeps its own.

        Raises UserError where finishing would be a loss to who is paid at the best demonstration's pace.
        """
        actions = self.environment.base_slice.stop - self.environment.base_slice.start
        return form_of(self.config, signals, actions)

    def run(self) -> None:
        config = self.config
        if self.folder.finished:
            return print(f"{config.out} is finished: {len(self.folder.metrics())} episodes")
        self.model.set_logger(Logger(None, []))
        fit = Fit("finetune", "episode", config.episodes, config.checkpoint_every, config.out, self.folder)
        done = fit.resume(self._restore)
        if done is None:
            self._pretrain()
            done = 0
        fit.loop(
            done, self._rows(done), self._save, self._summary,
            beside=lambda row: self._recent()[0], points=lambda row: self._points, enough=self._done,
        )  # fmt: skip

    def _done(self) -> bool:
        """Whether the steps that were asked for are done."""
        steps = self.config.total_steps
        return steps is not None and self.model.num_timesteps >= steps

    def _pretrain(self) -> None:
        """The critics' lessons from demonstrations, where there are any; what they learned is a checkpoint."""
        if not (lessons := self.config.critic_lessons):
            return
        with tqdm(total=lessons, unit="update", desc="critics, on demonstrations") as bar:

            def report(step: int, loss: float) -> None:
                bar.update(step - bar.n)
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

            self.model.pretrain_critic(lessons, self.config.batch, report)
        self._save(0)

    def _restore(self, checkpoint: Path) -> None:
        restore_residual(checkpoint, self.model)

    def _save(self, episodes: int) -> None:
        about = {name: getattr(self.config, name) for name in ("env", "env_options", "residual_scale", *names(Rules))}
        about |= self.config.kind.made_of(self.config.setting)
        about |= {"base": str(self.config.base), "base_weights": self.base_weights}
        about["signal_weight"] = self.form.signal_weight
        save_residual_checkpoint(self.config.out, episodes, self.model, about)

    def _rows(self, done: int) -> Iterator[dict[str, Any]]:
        """One episode after another; none any more where an operator ends practice."""
        rewards = EpisodeRewards(self.reward, self.form)
        for episode in range(done + 1, self.config.episodes + 1):
            try:
                row = self._episode(episode, rewards)
            except Stopped:
                self._keep(episode, done)
                return print(f"stopped in episode {episode}: the same command goes on after its last checkpoint")
            except (KeyboardInterrupt, UserError):
                self._keep(episode, done)
                raise
            yield row

    def _keep(self, episode: int, done: int) -> None:
        """Write the checkpoint before an episode that ended as it was to begin: while the operator was asked to."""
        vector = self.model.get_env()
        if isinstance(vector, OneAtATime) and vector.beginning and episode - 1 > done:
            self._save(episode - 1)

    def _episode(self, number: int, rewards: EpisodeRewards) -> dict[str, Any]:
        """One episode, then its updates. What is returned does not depend on the clock, but for seconds."""
        start, steps_before = time.perf_counter(), self.model.num_timesteps
        self.model.learn(1, rewards, log_interval=10**9, reset_num_timesteps=False)
        seconds = time.perf_counter() - start
        episode = self.environment.finished
        assert episode is not None and episode.residual_actions is not None
        logger = self.model.logger
        losses = {k.split("/")[1]: v for k, v in logger.name_to_value.items() if k.startswith("train/")}
        hidden = {name for name, formats in logger.name_to_excluded.items() if "tensorboard" in formats}
        self._points = {name: value for name, value in logger.name_to_value.items() if name not in hidden}
        logger.dump(number)  # to nowhere: the next episode's values begin anew
        return {
            "seed": episode.seed,
            **self._outcome(episode),
            "steps": len(episode),
            "reward": float(rewards.rewards.sum()),
            "residual": float(np.abs(episode.residual_actions).mean()),
            "updates": self.model._n_updates,
            **{k: float(v) for k, v in losses.items() if k in ("critic_loss", "actor_loss", "ent_coef")},
            "seconds": {"all": seconds, "rollout": rewards.rollout_seconds, "reward": rewards.seconds},
            **self._evaluated(steps_before),
        }

    def _evaluated(self, steps_before: int) -> dict[str, Any]:
        """What became of the policy without exploration, where another `evaluate_every` steps are done by now.

        It plays in an environment of its own: practice goes on as it would have without.
        """
        config, every = self.config, self.config.evaluate_every
        if not every or self.model.num_timesteps // every == steps_before // every:
            return {}
        actor = ResidualActor(cast(ResidualPolicy, self.model.policy), config.residual_scale)
        with config.kind.open(config.setting) as environment:
            seeds = range(SELECTION, SELECTION + config.evaluate_episodes)
            played = [play_episode(environment, actor, seed) for seed in seeds]
        return {"evaluated_at": self.model.num_timesteps, "evaluated": [one.figures for one in played]}

    def _outcome(self, episode: Episode) -> dict[str, Any]:
        """Success and the furthest travel; where the environment tells of no success the sum of its own rewards."""
        if self.environment.has_success:
            ways = ("furthest_travel", "beyond_shown")
            return {"success": episode.success, **{name: episode.about[name] for name in ways if name in episode.about}}
        assert episode.log.reward is not None  # every environment to practise in notes it
        return {"return": float(episode.log.reward.sum())}

    def _recent(self) -> tuple[str, dict[str, float]]:
        """How the last 20 episodes ended, in a few words and for the summary."""
        rows = self.folder.metrics()[-20:]
        if any("success" in row for row in rows):  # some environments speak of success only when there is one
            share = float(np.mean([row.get("success", False) for row in rows]))
            return f"success {share:.0%} of the last 20", {"success_last_20": share}
        mean = float(np.mean([row["return"] for row in rows]))
        return f"return {mean:.4g}, mean of the last 20", {"return_last_20": mean}

    def _summary(self) -> dict[str, Any]:
        """How far the run came; the success of its last episodes is also said."""
        words, recent = self._recent()
        print(f"{words} episodes, while exploring: no comparison")
        return {
            "episodes": len(self.folder.metrics()),
            **recent,
            "steps": self.model.num_timesteps,
            "updates": self.model._n_updates,
            "clipped_labels": self.clipped,
            "signal_weight": self.form.signal_weight,
        }


def _policy_kwargs(config: FinetuneConfig, environment: PracticeEnvironment) -> dict[str, Any]:
    found = {name: getattr(config, name) for name in ("actor_init", "log_std", "layer_norm", "actor_ema")}
    found["critic_extra"] = int(config.potential)
    if config.normalise_inputs:
        found |= {"features_extractor_class": NormalisedFlatten}
        found |= {"features_extractor_kwargs": base_statistics(environment)}
    return found


def updates_compiled(config: FinetuneConfig, environment: PracticeEnvironment) -> bool:
    """Whether a run's updates are compiled. One that goes on does it as it began.

    Raises UserError where that cannot be done here.
    """
    if config.compile != AUTO:
        return config.compile == "true"
    went_before = recorded_setting(config.out, "compile")
    steps = config.kind.step_limit(config.asked) or step_limit(environment)
    if went_before is None and steps is not None and config.utd * config.most_steps(steps) < WORTH_COMPILING:
        return False
    return compiles_here(torch.device(config.device), went_before)


def make_learner(config: FinetuneConfig, environment: PracticeEnvironment, compiled: bool = False) -> ResidualSAC:
    """The SAC that a config describes; its episodes are those of the run's own seeds, in turn."""
    environment.starts = InTurn()
    model = ResidualSAC(
        ResidualPolicy,
        OneAtATime(environment),
        learning_rate=config.lr,
        buffer_size=config.buffer,
        learning_starts=config.learning_starts,
        batch_size=config.batch,
        tau=config.tau,
        gamma=config.gamma,
        train_freq=(1, "episode"),
        gradient_steps=-1,
        replay_buffer_class=ResidualBuffer,
        replay_buffer_kwargs=config.returns,
        ent_coef=config.ent_coef if config.learns_ent_coef else float(config.ent_coef),
        ent_lr=config.ent_lr,
        target_entropy=config.target_entropy * (environment.base_slice.stop - environment.base_slice.start),
        backup_entropy=config.backup_entropy,
        critic_warmup=config.critic_warmup,
        policy_kwargs=_policy_kwargs(config, environment),
        seed=config.seed,
        device=config.device,
        utd=config.utd,
        warmup=config.warmup_range,
        compile=compiled,
    )
    model.get_env().seed(config.first_start)  # pyright: ignore[reportOptionalMemberAccess]
    return model
