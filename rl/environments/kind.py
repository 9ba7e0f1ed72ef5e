"""A kind of environment: what stands before the colon of `--env KIND:NAME`. Imports no simulator before one is opened.

Adding one is a file with a class like this, and a line (rl.environments.registry, or an entry point of your package):

    class Mine(EnvironmentKind):
        def make(self, setting):
            return gymnasium_environment_of(setting.name)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mpr.core.errors import UserError
from rl.environments.setting import RewardView, Setting, said_of_doors
from rl.policies.registry import is_named

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
    from numpy.typing import NDArray

    from mpr.core.data.episode import Episode
    from mpr.reward.model import RewardModel, Track
    from rl.environments.practice import PracticeEnvironment


class EnvironmentKind:
    """A kind of environment, made anew whenever it is asked, without arguments.

    As it stands: any gymnasium environment with flat Box spaces, made by `make`; success is what its `info` tells under
    "success" or "is_success", if it does.
    """

    seen: ClassVar[bool] = False  # whether `track` shows rewards what a camera saw
    bases: ClassVar[tuple[str, ...]] = ()  # of its own that `--base` may name, beside rl.policies.registry's
    sizes: ClassVar[tuple[int, int] | None] = None  # of observation and action, but for features of cameras
    filmed: ClassVar[bool] = False  # whether `film` shows anything
    opens_again: ClassVar[bool] = True  # whether it can be opened a second time, beside one that is open

    def check(self, setting: Setting) -> None:
        """Raises UserError for what cannot be, before anything is opened."""
        if asked := said_of_doors(setting):
            told = " and ".join(f"--{name}" for name in asked)
            raise UserError(f"{told}: only the kitchen has such a door, --env {setting.env} has none; leave it out")

    def gives(self, env: str, reward: type[RewardModel]) -> bool:
        """Whether it has what a reward is made of."""
        return (self.seen or not reward.sees) and reward.only in ("", env.partition(":")[0])

    def check_view(self, view: str) -> None:
        """Raises UserError for a camera that does not exist."""

    def goal(self, setting: Setting) -> str:
        """What success means, in a word or two: demonstrations of another one are refused. Empty: any will do."""
        return ""

    def ends_short(self, setting: Setting) -> bool:
        """Whether its demonstrations end short of success: one that shows it is refused."""
        return False

    def step_limit(self, setting: Setting) -> int | None:
        """The most steps of an episode, where that is known before one is opened."""
        return None

    def observation_size(self, setting: Setting) -> int | None:
        """Numbers of an observation, where that is known before one is opened."""
        return self.sizes[0] if self.sizes else None

    def made_of(self, setting: Setting) -> dict[str, str]:
        """Digests of what observations are made of, by name: another at the same path makes others of the same."""
        return {}

    def make(self, setting: Setting) -> gymnasium.Env:
        """The environment that `setting.name` and `setting.options` ask for. Raises UserError."""
        raise NotImplementedError(f"{type(self).__name__} makes no environment")

    def open(self, setting: Setting, view: str = "") -> AbstractContextManager[PracticeEnvironment]:
        """The environment with its base policy inside, closed at the end.

        With a `view`, finished episodes carry a recording from it. Raises UserError for what is not there.
        """
        return self._open(setting)

    @contextmanager
    def _open(self, setting: Setting) -> Iterator[PracticeEnvironment]:
        from rl.environments.residual import ResidualEnvironment, base_for

        with closing(self.make(setting)) as env:
            base = base_for(env, setting)
            with closing(
                ResidualEnvironment(env, base, setting.residual_scale, rate_hz=environment_rate_hz(env))
            ) as found:
                yield found

    def track(self, setting: Setting, reward_view: RewardView) -> Track:
        """How rewards that see track its episodes. Raises UserError where they cannot."""
        raise UserError(f"nothing sees --env {setting.env}: it takes no reward that looks at images")

    def goal_image(self, setting: Setting, view: str) -> NDArray[np.uint8]:
        """The task done, uint8 RGB [256, 256, 3], as its episodes are seen from a view: for rewards that compare.

        Raises UserError where it has no such picture.
        """
        raise UserError(
            f"--env {setting.env} has no picture of its goal: give one of 256 x 256 pixels, as its episodes are seen, "
            "by --goal_image FILE"
        )

    def film(self, file: Path, episodes: Mapping[str, Episode], setting: Setting, view: str) -> None:
        """Write an MP4 of one start's episode under several policies, by name. Raises NoGL."""


def environment_rate_hz(env: gymnasium.Env) -> float:
    """Steps a second: as its `dt` tells, else its images' rate, else 10."""
    step_s = getattr(env.unwrapped, "dt", None)
    if isinstance(step_s, int | float) and step_s > 0:
        return 1 / step_s
    return float(env.metadata.get("render_fps") or 10)


def is_trained(base: Path, kind: EnvironmentKind) -> bool:
    """Whether a base policy is one that was trained, in a folder, and not a name."""
    return str(base) not in kind.bases and not is_named(base)


def base_digest(base: Path, kind: EnvironmentKind | None = None) -> str:
    """Tells one trained base policy from another at the same path; empty for one that is a name."""
    from mpr.core.checkpoints import weights_digest

    named = is_named(base) if kind is None else not is_trained(base, kind)
    return "" if named else weights_digest(base)
