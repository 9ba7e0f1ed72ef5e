"""The session of `mpr robot session`: reset, run, mark, reward, updates, next; whatever ends it, the same goes on.

    this process     reset ─ episode k ─ mark ─ reward ─ on disk ─▶ learner keeps k ─▶ actor ─ reset ─ episode k+1 ...
    learner          updates for what it has ....................................│
    reward           tracks and tokens, frame by frame ....... │

What an episode gave is on disk before the learner hears of it, and the learner's checkpoint before the next begins: a
session that is killed loses the episode that was going on, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.beside import ProcessGone
from mpr.core.checkpoints import last_checkpoint, weights_digest
from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import in_brief
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder, write_summary
from rl.data.demonstrations import check_shown, load_demonstrations
from rl.environments.kind import base_digest
from rl.policies.diffusion.views import fingerprint
from rl.residual.checkpoint import load_residual_policy
from rl.residual.config import FinetuneConfig
from rl.residual.demonstrations import fill_buffer, label_all
from rl.residual.episode_learner import PractisedSpaces, Sizes
from rl.residual.learner_process import HandedOver, LearnerProcess, LearnerSetup
from rl.residual.reward_form import RewardForm
from rl.residual.train import form_of
from robot.environment import FrankaEnv
from robot.hardware.action import ACTION_SIZE
from robot.learning.config import POLICY, SESSION_FREE_KEYS, SessionConfig
from robot.learning.detector import GUESS, SuccessDetector
from robot.learning.kept import keep, kept_episode
from robot.learning.practising import Practising
from robot.learning.report import VIEWS_FILE, WAITED_FOR, write_report
from robot.learning.scene_change import draw_views, view_change
from robot.learning.signal import EpisodeSignal, signal_of, signal_of_demonstration
from robot.policies.named import KNOWN_STATE_SIZE, base_policy
from robot.practice.environment import ArmPractice, check_targets
from robot.practice.features import NO_FEATURES, ImageFeatures, image_features
from robot.recording.recorded import load_recorded
from robot.recording.recorder import Recorder, close_videos, episode_folders
from robot.session import open_recorder, session, session_environment, watch_session
from robot.station import Station, enter_station, named_station
from robot.teleop.keyboard_operator import KeyboardOperator
from robot.teleop.operator import Operator
from robot.teleop.registry import teleop
from robot.teleop.takeover import Takeover
from tracking.masks.lost import stretches

_KEPT = "practised"  # folder of the run
HAND_EVENT = "hand"  # kind of what is told of a device that takes over


def learn_on_arm(config: SessionConfig) -> None:
    """Practise, from wherever the run's folder stands. Raises UserError."""
    with ExitStack() as stack:
        stack.enter_context(cpu_threads(1))
        at = stack.enter_context(named_station(config))
        base = stack.enter_context(base_policy(config.base, at, config.wall, config.ddim_steps, config.device))
        signal = stack.enter_context(signal_of(config, at))
        features = image_features(config.encoder, base, at.cameras, config.device)
        if config.wall:
            features.check_pace(config.limits.oldest / 2)
        at = _arranged(config, at)
        stack.enter_context(enter_station(at))
        shown = demonstrations_of(config)
        asked = as_dict(config) | session_made_of(config, shown)
        run = RunFolder(config.out, "robot session", asked, SESSION_FREE_KEYS)
        recorder = open_recorder(run)
        at.operator.say(at.operator.about)
        env = session_environment(config, at, base, run, config.step_limit, policy=config.base)
        env.residual_scale = config.residual_scale
        env.hand = stack.enter_context(hand_of(config, at, run))
        LearningSession(config, env, recorder, run, signal, features, shown).practise()
    print("\n".join(write_report(run.path)))


def demonstrations_of(config: SessionConfig) -> list[Episode]:
    """Those that are practised with; none where none are asked for. Raises BadDemonstration."""
    learner = config.learner()
    if not learner.demonstrated:
        return []
    found = load_demonstrations(learner.demos, learner.num_demos)
    check_shown(found, config.task)
    for one in found:
        check_targets(one, config.targets)
    return found


def session_made_of(config: SessionConfig, shown: Sequence[Episode]) -> dict[str, str]:
    """What a session's folder says of what it is made of: the same path may hold another base policy soon."""
    learner = config.learner()
    found = {"base_weights": base_digest(learner.base, learner.kind), "data": fingerprint(shown) if shown else ""}
    found |= learner.kind.made_of(learner.setting)
    return found | {"predictor_weights": weights_digest(config.predictor) if config.predictor else ""}


@contextmanager
def hand_of(config: SessionConfig, at: Station, run: RunFolder) -> Iterator[Takeover | None]:
    """The device that a person may take over with, opened; none where nobody asked for one. What it tells is logged."""
    if not config.teleop:
        yield None
        return
    assert at.keys is not None
    with teleop(config.teleop, at.keys) as device:
        if isinstance(at.operator, KeyboardOperator):
            at.operator.others = (device.mark,)
        at.operator.say(f"take over at any time:\n{device.about}")
        yield Takeover(device, lambda text: _tell(at.operator, run, HAND_EVENT, text, at.clock.now()))


def _arranged(config: SessionConfig, at: Station) -> Station:
    """In lockstep an operator who goes on at whole seconds: an episode is then decided by its seed."""
    if config.wall:
        return at
    from robot.practice.twin import PunctualOperator, lockstep

    return replace(at, operator=PunctualOperator(lockstep(at.clock)))


def _tell(operator: Operator, run: RunFolder, kind: str, message: str, time_s: float) -> None:
    operator.say(f"{kind}: {message}")
    run.log(what="event", kind=kind, message=message, time=time_s, ask=False)


class LearningSession:
    """One run of episodes, the learner beside it."""

    def __init__(
        self,
        config: SessionConfig,
        env: FrankaEnv,
        recorder: Recorder,
        run: RunFolder,
        signal: EpisodeSignal,
        features: ImageFeatures = NO_FEATURES,
        shown: Sequence[Episode] = (),
    ) -> None:
        self.config, self.env, self.recorder, self.run, self.signal = config, env, recorder, run, signal
        self.features, self.sizes = features, Sizes(KNOWN_STATE_SIZE + features.size, ACTION_SIZE)
        self.learner_config: FinetuneConfig = config.learner()
        self._base_weights = base_digest(self.learner_config.base, self.learner_config.kind)
        self.form, self._shown = self._demonstrated(shown)

    def _demonstrated(self, shown: Sequence[Episode]) -> tuple[RewardForm, Mapping[str, NDArray] | None]:
        """The form of rewards, and demonstrations as a buffer's arrays. Raises BadDemonstration."""
        config = self.learner_config
        if not shown:
            return config.reward_form, None
        labelled = label_all(shown, ArmPractice(self.env, features=self.features), config.demo_action == "executed")
        signals = [signal_of_demonstration(self.signal, one.episode) for one in labelled]
        paid = [s[one.kept] for one, s in zip(labelled, signals, strict=True) if one.kept.any()]
        form = form_of(config, paid, ACTION_SIZE)
        spaces: Any = PractisedSpaces(self.sizes)
        return form, fill_buffer(labelled, signals, spaces, form, "cpu", **config.returns).arrays()

    def practise(self) -> None:
        """Until the episodes or the minutes are over, or the operator quits; then what is owed is learned."""
        began = time.perf_counter()
        fresh = last_checkpoint(self.learner_config.out) is None
        if fresh and self._shown is not None and self.learner_config.critic_lessons:
            print(f"critics learn from demonstrations: {self.learner_config.critic_lessons:,} updates")
        with LearnerProcess(self._setup, self._shown) as self.learner:
            actor = self._caught_up(self.learner.actor())
            self._log_missing(actor)
            self.detector = SuccessDetector()
            for number in self.recorder.whole:
                self._show_detector(number)
            policy, _ = load_residual_policy(self._setup.run)
            self.practising = Practising(self.learner_config, policy, self.signal, self.form, self.features)
            self.practising.take(actor)
            if self.recorder.whole:
                self.env.look_over = self._beside_the_last
            with watch_session(self.env, self.config.wall):  # left first: the arm is held before anything is let go
                self._episodes(began)
            self._settle()

    def _episodes(self, began: float) -> None:
        config, first = self.config, self.learner_config.first_start
        played = session(self.env, self.recorder, config.episodes, first, self.practising, self._before_it_is_saved)
        for _ in played:
            self._learn_from_the_last()
            if config.minutes and time.perf_counter() - began > 60 * config.minutes:
                return self.env.operator.say(f"{config.minutes:g} minutes are over")

    def _beside_the_last(self, now: Mapping[str, NDArray[np.uint8]]) -> str:
        """What has changed since the last episode began, with a question: a session may go on on another day."""
        last = load_recorded(self.recorder.whole[max(self.recorder.whole)])
        before = {name: np.asarray(frames[0]) for name, frames in last.frames.items() if name in now}
        close_videos(last)
        changes = [view_change(name, image, now[name]) for name, image in before.items()]
        draw_views(self.config.out / VIEWS_FILE, before, now)
        told = "; ".join(map(str, changes))
        if any(change.moved or change.other_light for change in changes):
            self.tell("view changed", told)
        return f"{told}. {self.config.out / VIEWS_FILE} shows it: go on like this?"

    @property
    def _setup(self) -> LearnerSetup:
        about = {"env": self.learner_config.env, "base": self.config.base, "signal_weight": self.form.signal_weight}
        about |= {"env_options": self.learner_config.env_options, "ddim_steps": self.config.ddim_steps}
        about |= {"residual_scale": self.config.residual_scale, "base_weights": self._base_weights}
        about |= self.learner_config.kind.made_of(self.learner_config.setting)
        return LearnerSetup(self.learner_config, self.sizes, self.learner_config.out, self.config.updates, about)

    def _before_it_is_saved(self, episode: Episode) -> Episode:
        """Rewards, and what the learner takes of it on disk, before the episode itself is."""
        scored = self._second_opinion(self.practising.finish(episode))
        self.practising.scored = scored
        if self.signal.gone:
            self.tell("reward gone", f"{self.signal.gone}: another made this episode's of what was filmed")
        if self.practising.trouble:
            self.tell("not scored", f"this episode counts as if nothing had moved: {self.practising.trouble}")
        assert self.practising.learned is not None
        keep(self.config.out / _KEPT, self.recorder.next_number, self.practising.learned)
        return scored

    def _second_opinion(self, episode: Episode) -> Episode:
        """The episode with the detector's guess, where it is asked for one. It learns once the episode is on disk."""
        try:
            guess = self.detector.guess(episode) if self.config.detector else None
        except Exception as error:  # a marked episode is not lost for a second opinion on it
            self.tell("no second opinion", f"{type(error).__name__}: {in_brief(error)}")
            return episode
        if guess is None:
            return episode
        if (guess > 0.5) != episode.success:
            marked = "a success" if episode.success else "none"
            self.env.operator.say(f"the detector disagrees: {guess:.0%} sure of a success, marked as {marked}")
        return replace(episode, about={**episode.about, GUESS: guess})

    def _show_detector(self, number: int) -> None:
        """An episode as it lies on disk: so a session that goes on has the detector of one that was not broken off."""
        if self.config.detector:
            episode = load_recorded(self.recorder.whole[number])
            self.detector.learn(episode)
            close_videos(episode)

    def _caught_up(self, actor: HandedOver) -> HandedOver:
        """The learner with all episodes that are on disk: those that it was killed before are given again."""
        for number in sorted(episode_folders(self.recorder.root).keys() - set(actor.given)):
            self.learner.add(number, kept_episode(self.config.out / _KEPT, number))
            actor = self.learner.handed_over()
        return actor

    def _log_missing(self, actor: HandedOver) -> None:
        """Rows of episodes on disk whose session was killed before it wrote them."""
        told = {row["number"] for row in self.run.metrics() if row["what"] == "episode"}
        for number in sorted(self.recorder.whole.keys() - told):
            self._log(number, load_recorded(self.recorder.whole[number]), actor)

    def _learn_from_the_last(self) -> None:
        """Give the last episode to the learner, take the next actor, and note where the time went."""
        saved, number = time.perf_counter(), max(episode_folders(self.recorder.root))
        self._show_detector(number)
        actor = self._handed_over(number)
        updated = time.perf_counter()
        self.practising.take(actor)
        assert self.practising.scored is not None
        self._log(number, self.practising.scored, actor, self.practising.seconds(saved, updated))
        self.practising.wait()

    def _log(
        self, number: int, episode: Episode, actor: HandedOver, seconds: Mapping[str, float] | None = None
    ) -> None:
        """A row of metrics.jsonl; without `seconds` of an episode whose session was killed when it was over."""
        log, residuals = episode.log, episode.residual_actions
        waits = None if seconds is None else sum(seconds[part] for part in WAITED_FOR)
        losses = {name: value for name, value in actor.figures.items() if name.endswith("loss") or name == "ent_coef"}
        close_videos(episode)
        self.run.log(
            what="episode",
            number=number,
            seed=episode.seed,
            success=bool(episode.success),
            steps=len(episode),
            mark=episode.about.get("mark", ""),
            fault=episode.about.get("fault", ""),
            interventions=0 if log.led is None else len(stretches(log.led)),
            led=0.0 if log.led is None else float(log.led.mean()),
            detector=episode.about.get(GUESS),
            reward=0.0 if log.reward is None else float(log.reward.sum()),
            residual=0.0 if residuals is None else float(np.abs(residuals).mean()),
            updates=actor.updates,
            owed=actor.owed,
            **losses,
            seconds=seconds,
            wait_s=waits,
            late_s=[] if log.late_s is None else [round(float(value), 5) for value in log.late_s],
            missed=0 if log.missed is None else int(log.missed.sum()),
        )

    def tell(self, kind: str, message: str) -> None:
        """On the screen and in the log."""
        _tell(self.env.operator, self.run, kind, message, self.env.clock.now())

    def _handed_over(self, number: int) -> HandedOver:
        """The actor after the episode of that number, by another learner where this one was killed."""
        assert self.practising.learned is not None
        try:
            self.learner.add(number, self.practising.learned)
            return self.learner.handed_over()
        except ProcessGone as gone:
            return self._another_learner(gone)

    def _another_learner(self, gone: ProcessGone) -> HandedOver:
        self.tell("learner gone", f"{gone}: another goes on at its checkpoint")
        self.learner.again()
        return self._caught_up(self.learner.actor())

    def _settle(self) -> None:
        """All that is owed is learned, into a folder of its own: what is left behind is the policy of all episodes."""
        policy = self.config.out / POLICY
        try:
            actor = self.learner.settle(policy)
        except ProcessGone as gone:
            self._another_learner(gone)
            actor = self.learner.settle(policy)
        self.run.log(what="settled", updates=actor.updates, episodes=len(actor.given))
        write_summary(policy, {"episodes": len(actor.given), "updates": actor.updates})
