"""`FrankaEnv`: an arm, its cameras, its guard and a pace as a gymnasium environment, a base policy inside.

    beat k                                              beat k+1
      │ measure, look, ask the base ─▶ obs_k ─▶ residual ─▶ guard ─▶ arm │
      └────────────────────────── 0.1 s ───────────────────────────────┘

A step composes base and residual (`robot.hardware.action`), hands the result to the guard, waits for the next beat and
looks. Nothing here waits for a policy or a camera: `robot.policies.ahead` plans in a thread, cameras hold their newest
image. There is no reward but 1 at a success that the operator marked: a reward model scores the finished episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from mpr.core.data.episode import Episode
from mpr.core.data.steps import gaps_of
from mpr.core.errors import UserError
from rl.environments.practice import Stopped
from rl.environments.starts import OwnStarts, Starts
from rl.policies.actor import RESIDUAL_SCALE
from rl.policies.base_policy import BasePolicy
from robot.hardware.action import ACTION_SIZE, HALF_WIDTH, RobotAction, action_of, bounded, composed, correction_between
from robot.hardware.arm import Arm, ArmError, Target
from robot.hardware.camera import Camera, CameraError
from robot.hardware.clock import Clock, Pace, WallClock, collect_now
from robot.hardware.counting import FROM_MEASURED
from robot.hardware.pose import distance_between
from robot.recording.episode_buffer import EpisodeBuffer, state_vector
from robot.safety.guard import Event, Guard, Held, Sent
from robot.safety.limits import Limits
from robot.safety.watch import CLOCK_TOLERANCE_S, Seen, bad_image, bad_state
from robot.setting import ROBOT_RATE_HZ, ROBOT_STEP_LIMIT
from robot.teleop.operator import Answer, Mark, Operator
from robot.teleop.takeover import Takeover

Observation = dict[str, Any]

LED_AWAY = 0.01  # metres: an arm that moved as far while a question was asked goes home again


class FrankaEnv(gymnasium.Env[Observation, NDArray[np.float32]], OwnStarts):
    """An arm, its cameras and a base policy as a gymnasium environment, whose action is the residual.

    Observation: a uint8 [H, W, 3] for each camera, under its name; "pose" [7] (metres, quaternion xyzw), "width" [1]
    (metres), "base_action" [8]. Action [8] in -1..1: the residual (`robot.hardware.action`).

    The operator's mark ends an episode: success terminates; failure, redo, quit, the step limit and whatever a person
    has to look at truncate, a fault before any mark. Whatever is raised, the arm is held first. `reset` asks before a
    real arm goes home, asks the operator to put everything back, and on a latched fault to mend it first; it raises
    Stopped where the answer is to quit. `finished` is the last whole episode, its images kept for the reward; its
    executed actions are what was really sent. `info` holds `success`, `mark`, `event` (what was wrong at this step, if
    anything), `unsent` (the arm was held instead), `led` (a `hand` had taken over), `met` (limits), `gap` (the beat
    came so late that this was no step of one: `mpr.core.data.steps`), `stale` (cameras, or "state", whose time in this
    observation is too old, or ahead), `beat` and the episode's `seed`. An image or a state that no episode could hold
    ends it, as a camera that is gone.
    `look_over`, if set: shown what cameras see at the next reset, once; what it says is put to the operator.
    `role`, `instance`: which seeds unseeded resets take (rl.environments.starts).
    """

    metadata = {"render_modes": []}  # noqa: RUF012  gymnasium's own declaration

    def __init__(
        self,
        arm: Arm,
        cameras: Sequence[Camera],
        base: BasePolicy,
        operator: Operator,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        residual_scale: float = RESIDUAL_SCALE,
        rate_hz: float = ROBOT_RATE_HZ,
        step_limit: int = ROBOT_STEP_LIMIT,
        task: str = "",
        about: Mapping[str, Any] | None = None,
        role: str = "training",
        instance: int | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        hand: Takeover | None = None,
        targets: str = FROM_MEASURED,
    ) -> None:
        if (meant := getattr(base, "targets", targets)) != targets:
            raise UserError(f"--targets {targets}: this base policy's actions count from the {meant} pose")
        self.arm, self.cameras, self.base, self.operator = arm, tuple(cameras), base, operator
        self.clock = clock or WallClock()
        self.limits = limits or Limits()
        self.residual_scale, self.step_limit, self.task, self.rate_hz = residual_scale, step_limit, task, rate_hz
        self.about = {"arm": arm.features.name, "targets": targets, **(about or {})}  # of every episode
        self.hand = hand
        self.guard = Guard(arm, self.limits, self.clock, on_event, targets)
        self.pace = Pace(self.clock, rate_hz)
        self._sizes = {c.features.name: (c.features.height, c.features.width) for c in self.cameras}
        looks: dict[str, gymnasium.Space] = {
            name: Box(0, 255, (*size, 3), np.uint8) for name, size in self._sizes.items()
        }
        numbers = {"pose": 7, "width": 1}
        looks |= {name: Box(-np.inf, np.inf, (size,), np.float32) for name, size in numbers.items()}
        self.observation_space = Dict({**looks, "base_action": Box(-1, 1, (ACTION_SIZE,), np.float32)})
        self.action_space = Box(-1, 1, (ACTION_SIZE,), np.float32)
        self.starts = Starts(role, instance)
        self.finished: Episode | None = None
        self.look_over: Callable[[Mapping[str, NDArray[np.uint8]]], str] | None = None
        self._over = True
        self._hand_asks: RobotAction | None = None  # for the next step, while a hand leads

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Home, and everything put back. Without a seed, the next of its own."""
        super().reset(seed=self.starts.begin(seed))
        with self._holding():
            self.guard.rest()
            self.operator.begins(self.seed)
            while (seen := self._ready()) is None or (seen := self._looked_over(seen)) is None:
                pass
            about = {**self.about, "residual_scale": self.residual_scale}
            self.buffer = EpisodeBuffer(self.seed, self.task, self.rate_hz, about)
            self._begin_base()
            if self.hand is not None:
                self.hand.begin()
            if isinstance(self.clock, WallClock):
                collect_now()
                self.clock.sleep_until(self.clock.now() + self.pace.period)  # threads that read stood still, too
            self.pace.restart()
            self._hand_asks = None
            self._observe(self._look() or seen)
        self._over = False
        return self._observation(), {"success": False, "stale": self._stale(), "seed": self.seed}

    @property
    def seed(self) -> int:
        """Of the episode that was reset to."""
        return self.starts.start

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Send the base action corrected by the residual [8], in -1..1, and wait for the next beat.

        Raises ResetNeeded after an episode's end: nothing moves that no episode holds.
        """
        if self._over:
            raise gymnasium.error.ResetNeeded("the episode is over: reset begins the next")
        with self._holding():
            return self._step(action)

    def _step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        residual = bounded(np.nan_to_num(np.asarray(action, np.float64), posinf=0, neginf=0))
        wish, led = self.compose(self._base, np.asarray(action, np.float64)), self._hand_asks is not None
        if self._hand_asks is not None:
            wish, residual = self._hand_asks, correction_between(self._base, self._hand_asks, self.residual_scale)[0]
        outcome = self.guard.act(wish, self.seen)
        sent = self._sent(outcome) if isinstance(outcome, Sent) else self._resting()
        sent_at = self.clock.now()
        beat = self.pace.wait()
        mark = self.operator.mark()
        if mark is not None:
            self.guard.rest()  # before anything else that takes time
        seen = self._look()  # nothing, where arm or camera is gone: the guard has latched, and the last view stands
        if seen is not None:
            self.guard.check(seen.state)
        self.buffer.acted(self._base, residual, sent, outcome, sent_at, beat, led)
        fault = self.guard.latched
        success = mark is Mark.SUCCESS and fault is None
        truncated = not success and (fault is not None or mark is not None or len(self.buffer) >= self.step_limit)
        self._over = success or truncated
        if self._over:
            self.guard.rest()
        # The base's next action is asked for where somebody may bootstrap from it: not after a success or a fault.
        began = self.seen.time
        grip = float(sent[7])
        self._observe(seen or replace(self.seen, time=self.clock.now()), not success and fault is None, grip)
        if self._over:
            self.finished = self.buffer.episode(success, truncated, None if fault else mark, fault, self.pace.overruns)
            self.buffer = EpisodeBuffer()  # its images are the episode's now
        event = fault or (outcome.event if isinstance(outcome, Held) else None)
        info = {"success": success, "is_success": success, "mark": mark, "event": event, "beat": beat}
        info |= {"met": outcome.met if isinstance(outcome, Sent) else (), "stale": self._stale(), "seed": self.seed}
        info |= {"unsent": isinstance(outcome, Held), "gap": self._is_gap(began, self.seen.time), "led": led}
        return self._observation(), float(success), success, truncated, info

    def compose(self, base: RobotAction, residual: RobotAction) -> RobotAction:
        """What base policy and residual ask for together (`robot.hardware.action`)."""
        return composed(base, residual, self.residual_scale)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Whatever is raised, Ctrl-C included: first the arm is held; and the episode is over, unfinished."""
        try:
            yield
        except BaseException:
            self._over = True
            self.guard.rest()
            raise

    def close(self) -> None:
        """Hold the arm in the middle of an episode; after one it is held. Who entered arm and cameras leaves them."""
        self.starts.close()
        if not self._over:
            self._over = True
            self.guard.rest()

    def _ready(self) -> Seen | None:
        """One attempt at an arm at home and a scene put back; nothing where it has to be tried again."""
        self._check()
        if (fault := self.guard.latched) is not None:
            answer = self._ask(f"{fault.kind}: {fault.message}", tuple(Answer))
            try:
                if answer is Answer.RECOVER:
                    self.arm.recover()
            except ArmError as error:
                self.guard.fault(error.reason, str(error))
                self.operator.say(f"not recovered: {error}")  # a fault that lasts is told once, with its first words
                return None
            self.guard.resume()
            self._check()
            if self.guard.latched is not None:
                return None
        if self.arm.features.real:
            self._ask("the arm goes home by its joints: is its way free, and nothing in its hand?")
        try:
            self.arm.home()
        except ArmError as error:
            self.guard.fault(error.reason, str(error))
            return None
        self._ask("everything back in its place?")
        self._check()
        return self._look() if self.guard.latched is None else None

    def _looked_over(self, seen: Seen) -> Seen | None:
        """What there is to see once somebody has said that it goes on like this; nothing where that took it away.

        Whoever looks closely may have mended a camera or led the arm: then it is gone home once more, and shown again.
        """
        if self.look_over is None:
            return seen
        self._ask(self.look_over({name: image.image for name, image in seen.images.items()}))
        self._check()
        now = self._look() if self.guard.latched is None else None
        if now is None or distance_between(now.state.pose, seen.state.pose) > LED_AWAY:
            return None
        self.look_over = None
        return now

    def _ask(self, question: str, answers: tuple[Answer, ...] = (Answer.GO, Answer.QUIT)) -> Answer:
        answer = self.operator.ask(question, answers)
        if answer is Answer.QUIT:
            raise Stopped
        return answer

    def _check(self) -> None:
        """Latch what the arm itself says is wrong."""
        try:
            self.guard.check(self.arm.state())
        except ArmError as error:
            self.guard.fault(error.reason, str(error))

    def _look(self) -> Seen | None:
        """What there is to see now; nothing, and a latched fault, where arm or camera is gone or gives none."""
        try:
            state = self.arm.state()
            images = {name: camera.latest() for name, camera in zip(self._sizes, self.cameras, strict=True)}
        except (ArmError, CameraError) as error:
            self.guard.fault(error.reason, str(error))
            return None
        found = [bad_state(state), *(bad_image(name, images[name], size) for name, size in self._sizes.items())]
        for wrong in filter(None, found):
            self.guard.fault(*wrong)
        return None if any(found) else Seen(state, images, self.clock.now())

    def _begin_base(self) -> None:
        self.base.reset(self.seed, lambda step: self._images())

    def _hands(self, seen: Seen, grip: float | None) -> RobotAction | None:
        """What a hand asks for that has taken over; none while the policy leads."""
        if self.hand is None:
            return None
        return self.hand.action(self.clock.now(), seen.state.width / HALF_WIDTH - 1 if grip is None else grip)

    def _observe(self, seen: Seen, ask: bool = True, grip: float | None = None) -> None:
        """What there is to see at a beat, and who leads the next step: `grip` is the gripper's last command, if any."""
        self.seen = seen
        self.buffer.saw(seen, self._stale())
        before, self._hand_asks = self._hand_asks, self._hands(seen, grip)
        if before is not None and self._hand_asks is None:
            self._begin_base()  # its plan was of before the hand took over
        if ask:
            self._base = self._ask_base(seen)

    def _ask_base(self, seen: Seen) -> RobotAction:
        """The base policy's action. One that is not finite stays so, for the guard to name. Raises UserError for a
        policy of another arm."""
        action = np.asarray(self.base.act(state_vector(seen.state).astype(np.float32)), np.float64)
        if action.shape != (ACTION_SIZE,):
            raise UserError(
                f"the base policy gave an action of shape {action.shape}: this arm takes {ACTION_SIZE} numbers"
            )
        return bounded(action) if np.isfinite(action).all() else action

    def _sent(self, sent: Sent) -> RobotAction:
        """What was really sent, in a policy's terms."""
        return action_of(sent.target, replace(self.seen.state, pose=sent.counted_from))

    def _resting(self) -> RobotAction:
        """The action that a held arm carries out."""
        return action_of(Target(self.seen.state.pose, self.seen.state.width), self.seen.state)

    def _images(self) -> Mapping[str, NDArray[np.uint8]]:
        return {name: image.image for name, image in self.seen.images.items()}

    def _is_gap(self, *times: float) -> bool:
        return bool(gaps_of(np.array(times), 1 / self.pace.period)[0])

    def _stale(self) -> tuple[str, ...]:
        found = {name: (image.time, self.limits.image_age) for name, image in self.seen.images.items()}
        found["state"] = self.seen.state.time, self.limits.state_age
        return tuple(
            name for name, (time, most) in found.items() if not -CLOCK_TOLERANCE_S <= self.seen.time - time <= most
        )

    def _observation(self) -> Observation:
        vector = state_vector(self.seen.state).astype(np.float32)
        base = np.nan_to_num(self._base, posinf=1, neginf=-1).astype(np.float32)
        return {**self._images(), "pose": vector[:7], "width": vector[7:], "base_action": base}
