"""The robot's kinds of environment: `--env twin:microwave` and `--env arm`. Imports neither simulator nor drivers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mpr.core.errors import UserError
from rl.environments.kind import EnvironmentKind
from rl.environments.setting import RewardView, Setting
from robot.setting import ASTRAY, EXPERT, ROBOT_STEP_LIMIT, STAY

if TYPE_CHECKING:
    from mpr.core.data.episode import Episode
    from mpr.reward.model import RewardModel, Track
    from rl.environments.practice import PracticeEnvironment
    from rl.policies.base_policy import BasePolicy
    from robot.practice.station import PracticeStationConfig
    from robot.practice.twin import TwinRecorder
    from robot.safety.guard import Event
    from robot.station import Station

EXAMPLE = "arm=franky host=172.16.0.2 world=SERIAL wrist=SERIAL"


def _on_event(event: Event) -> None:
    """What the guard has to say, from whichever thread it comes."""
    print(f"{event.kind}: {event.message}", file=sys.stderr, flush=True)


class ArmKind(EnvironmentKind):
    """An arm as `mpr robot run` takes one, whose task stands behind the colon.

    `--env_options` holds that command's options. Rotations are multiplied, not added; what was not sent is no
    transition.
    """

    bases: ClassVar[tuple[str, ...]] = (STAY,)
    sizes: ClassVar[tuple[int, int]] = (16, 8)  # ArmPractice's
    said_otherwise: ClassVar[tuple[str, ...]] = ("seed", "task")
    opens_again: ClassVar[bool] = False  # there is one arm, and an operator who puts things back

    def check(self, setting: Setting) -> None:
        super().check(setting)
        self.station(setting)

    def gives(self, env: str, reward: type[RewardModel]) -> bool:
        """The motion reward too: not here, but in `mpr robot session`, which looks through the arm's own cameras."""
        return super().gives(env, reward) or (reward.sees and reward.predicts)

    def track(self, setting: Setting, reward_view: RewardView) -> Track:
        raise UserError(f"--env {setting.env}: a reward that sees is made while the arm moves: `mpr robot session`")

    def goal(self, setting: Setting) -> str:
        return setting.name

    def step_limit(self, setting: Setting) -> int:
        return ROBOT_STEP_LIMIT

    def made_of(self, setting: Setting) -> dict[str, str]:
        if not (encoder := self.station(setting).encoder):
            return {}
        from robot.practice.features import encoder_digest

        return {"encoder_weights": encoder_digest(encoder)}

    def observation_size(self, setting: Setting) -> int | None:
        return None if self.station(setting).encoder else super().observation_size(setting)

    def station(self, setting: Setting) -> PracticeStationConfig:
        """What the options say. Raises UserError as `mpr robot run` does."""
        if not setting.options:
            told = "all of them: `mpr robot run --help`"
            raise UserError(f"--env {setting.env} needs its arm's options, as --env_options '{EXAMPLE}' ({told})")
        return self._station(setting)

    def _station(self, setting: Setting) -> PracticeStationConfig:
        from mpr.core.config import parse_config, setting_words
        from robot.practice.station import PracticeStationConfig

        what = "--env_options"
        words = setting_words(setting.options, what, self.said_otherwise)
        words += [f"--task={setting.name}"] if setting.name else []  # at once: a task has limits of its own
        return parse_config(PracticeStationConfig, words, what)[0]

    def open(self, setting: Setting, view: str = "") -> AbstractContextManager[PracticeEnvironment]:
        return self._entered(setting, view)

    @contextmanager
    def _entered(self, setting: Setting, view: str) -> Iterator[PracticeEnvironment]:
        from robot.environment import FrankaEnv
        from robot.practice.environment import ArmPractice
        from robot.practice.features import image_features
        from robot.session import watch_session
        from robot.station import enter_station, named_station

        config = self.station(setting)
        with ExitStack() as stack:
            found = stack.enter_context(named_station(config))
            base = stack.enter_context(self._base(setting, found, config.wall))
            at = self._arranged(found, base, bool(config.encoder))
            features = image_features(config.encoder, base, at.cameras, setting.device)
            stack.enter_context(enter_station(at))
            at.operator.say(at.operator.about)
            shared = {"clock": at.clock, "limits": config.limits, "rate_hz": config.rate_hz, "task": config.task}
            shared |= {"targets": config.targets}
            env = FrankaEnv(
                at.arm,
                at.cameras,
                base,
                at.operator,
                **shared,
                residual_scale=setting.residual_scale,
                step_limit=self.step_limit(setting),
                on_event=_on_event,
            )
            if config.wall:
                features.check_pace(config.limits.oldest / 2)
            stack.enter_context(watch_session(env, config.wall))
            yield ArmPractice(env, self._recorder(at, view) if view else None, features)

    def _base(self, setting: Setting, at: Station, ahead: bool) -> AbstractContextManager[BasePolicy]:
        from rl.policies.registry import Around, is_named, named_policy
        from robot.hardware.action import ACTION_SIZE
        from robot.policies.named import KNOWN_STATE_SIZE, base_policy

        if is_named(setting.base):
            return nullcontext(named_policy(setting.base, Around(KNOWN_STATE_SIZE, ACTION_SIZE)))
        return base_policy(str(setting.base), at, ahead, setting.ddim_steps, setting.device)

    def _arranged(self, at: Station, base: BasePolicy, seen: bool) -> Station:
        """The station as it is practised at; `seen`: by actor and critics too, through all its cameras."""
        return at

    def _recorder(self, at: Station, view: str) -> TwinRecorder | None:
        """What notes how the scene stands, for a recording; nothing does beside a real arm."""
        return None


class TwinKind(ArmKind):
    """The simulated arm before a thing of the kitchen, in lockstep: as fast as it goes, and always the same.

    Its episodes are recorded as the kitchen's are, and seen from the kitchen's views.
    """

    seen: ClassVar[bool] = True
    bases: ClassVar[tuple[str, ...]] = (STAY, EXPERT, ASTRAY)
    filmed: ClassVar[bool] = True
    opens_again: ClassVar[bool] = True
    said_otherwise: ClassVar[tuple[str, ...]] = (
        *("seed", "task", "arm", "host", "world", "wrist"),
        *("operator", "real_time", "enforce_real_time"),
    )

    def station(self, setting: Setting) -> PracticeStationConfig:
        from robot.simulated.tasks import find_twin_task

        find_twin_task(setting.name)
        return self._station(setting)

    def check_view(self, view: str) -> None:
        from rl.environments.kitchen.camera import check_view

        check_view(view)

    def _arranged(self, at: Station, base: BasePolicy, seen: bool) -> Station:
        """Only the cameras that somebody sees with: images that nobody looks at are not rendered."""
        from robot.practice.twin import PunctualOperator, lockstep

        seeing = tuple(camera for camera in at.cameras if seen or camera.features.name in base.cameras)
        return replace(at, cameras=seeing, operator=PunctualOperator(lockstep(at.clock)))

    def _recorder(self, at: Station, view: str) -> TwinRecorder | None:
        from robot.practice.twin import TwinRecorder, lockstep

        return TwinRecorder(lockstep(at.clock), view)

    def track(self, setting: Setting, reward_view: RewardView) -> Track:
        from rl.environments.kitchen.tracked import tracked_from
        from robot.simulated.tasks import find_twin_task

        return tracked_from(find_twin_task(setting.name).kitchen, reward_view.view, reward_view.tracker)

    def film(self, file: Path, episodes: Mapping[str, Episode], setting: Setting, view: str) -> None:
        from rl.environments.kitchen.films import film
        from robot.simulated.tasks import find_twin_task

        film(file, episodes, find_twin_task(setting.name).kitchen, view)
