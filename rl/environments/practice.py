"""What a residual policy practises in: the one protocol of kitchen, simulated arm, real arm and any gymnasium id.

    executed = compose(base, residual),   observation = state, base action of this very step

How the two are put together is the environment's own: most add and clip, an arm multiplies quaternions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from gymnasium import Space
    from numpy.typing import NDArray

    from mpr.core.data.episode import Episode
    from rl.environments.starts import Starts
    from rl.policies.base_policy import BasePolicy


# what an info may tell of a thing that opens: in its unit, but for the first and the last
TRAVELS = ("opened", "travel", "furthest_travel", "beyond_shown")


class Stopped(Exception):
    """Whoever looks after the environment wants no further episode."""


class PracticeEnvironment(Protocol):
    """A gymnasium environment, its base policy inside. Observation float32 [D + F + A]: `state_slice`, features of what
    cameras see, of which there may be none, then `base_slice`. Action [A] in [-1, 1]: the residual.

    An `info` holds `is_success`; and of a step that is no sample to learn from, `unsent` (the action was held back) or
    `gap` (the step took longer than one does: `mpr.core.data.steps`). What opens something tells of TRAVELS.
    """

    state_slice: slice
    base_slice: slice

    @property
    def observation_space(self) -> Space[Any]: ...

    @property
    def action_space(self) -> Space[Any]: ...

    @property
    def base(self) -> BasePolicy: ...

    @property
    def rate_hz(self) -> float:
        """Steps a second."""
        ...

    @property
    def residual_scale(self) -> float:
        """How far a residual of 1 reaches, as a share of half the action range."""
        ...

    @residual_scale.setter
    def residual_scale(self, scale: float, /) -> None: ...

    @property
    def has_success(self) -> bool:
        """Whether its episodes can succeed, as far as it has told; one without success is judged by its return."""
        ...

    @property
    def finished(self) -> Episode | None:
        """The last complete episode, with what a simulator or cameras saw of it where they were asked to.

        Its log holds `reward` [T], the environment's own; its `about` what the last info told of TRAVELS.
        """
        ...

    @property
    def starts(self) -> Starts:
        """Which start each episode plays (rl.environments.starts)."""
        ...

    @starts.setter
    def starts(self, starts: Starts, /) -> None: ...

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode, of that seed or the next: observation [D + F + A] and its info."""
        ...

    def step(self, action: NDArray[np.float32], /) -> tuple[NDArray[np.float32], Any, bool, bool, dict[str, Any]]:
        """Take a step by the residual [A], in -1..1: observation [D + F + A], reward, terminated, truncated, info."""
        ...

    def close(self) -> None: ...

    def compose(self, base: NDArray, residual: NDArray) -> NDArray[np.float64]:
        """The action [A] that base action and residual [A] make together."""
        ...

    def correction(self, base: NDArray, wanted: NDArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The residual [A] in -1..1 that makes `wanted` of a base action, or comes nearest; where it falls short."""
        ...

    def features_of(self, episode: Episode) -> NDArray[np.float32]:
        """The features [T+1, F] of what cameras saw of a recorded episode, as observations have them."""
        ...

    def ask_base(self, state: NDArray) -> NDArray[np.float64]:
        """The base policy's action [A] in a state [D], within what the environment takes."""
        ...
