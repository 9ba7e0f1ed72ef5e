"""Returns that a learner and its replay buffers agree on: how many steps, and which discount.

stable-baselines3 hands neither to a buffer whose class is given, and lets each keep its own. Here the buffer gets what
it was not given, and where two numbers are left, or what cannot work together, that is refused when it is put together.
"""

from __future__ import annotations

import inspect
from typing import Any

from gymnasium import Space, spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from rl.residual.buffer import ResidualBuffer

_OWN = ("buffer_size", "observation_space", "action_space", "device", "n_envs", "optimize_memory_usage", "env")


def buffer_class(observations: Space, n_steps: int | None) -> type[ReplayBuffer]:
    """The class where none is given: stable-baselines3's choice, but for returns of one step of arrays."""
    if isinstance(observations, spaces.Dict):
        return DictReplayBuffer
    if n_steps not in (None, 1):
        return NStepReplayBuffer
    return ResidualBuffer if isinstance(observations, spaces.Box) else ReplayBuffer


def buffer_settings(
    kind: type[ReplayBuffer], given: dict[str, Any], observations: Space, n_steps: int | None, gamma: float
) -> dict[str, Any]:
    """The buffer's keyword arguments: those given, and the learner's n_steps and gamma where it takes them.

    Raises ValueError for what the learner itself says, another gamma, and a buffer of other observations.
    """
    if twice := [name for name in given if name in _OWN]:
        raise ValueError(f"replay_buffer_kwargs: {', '.join(twice)} is the learner's own to say, leave it out")
    named = isinstance(observations, spaces.Dict)
    if named != issubclass(kind, DictReplayBuffer):
        takes = "observations by name" if not named else "arrays of observations"
        raise ValueError(f"replay_buffer_class {kind.__name__} takes {takes}, these are {type(observations).__name__}")
    if given.get("gamma", gamma) != gamma:
        raise ValueError(f"the buffer's returns have gamma {given['gamma']}, the critics' {gamma}: make them one")
    settings = dict(given)
    if _takes(kind, "gamma"):
        settings.setdefault("gamma", gamma)
    if _takes(kind, "n_steps") and n_steps is not None:
        settings.setdefault("n_steps", n_steps)
    return settings


def _takes(kind: type, name: str) -> bool:
    return any(name in inspect.signature(one.__init__).parameters for one in kind.__mro__[:-1])


def check_returns(buffer: ReplayBuffer, n_steps: int | None, gamma: float, normalised: bool) -> int:
    """How many steps the buffer's returns have.

    Raises ValueError where that is not what the learner was asked for, or where it cannot make them: of observations
    that VecNormalize changes as they are drawn.
    """
    steps = getattr(buffer, "n_steps", 1)
    if steps < 1 or steps != int(steps):
        raise ValueError(f"n_steps={steps}: a whole number of steps, at least 1")
    if n_steps not in (None, steps):
        raise ValueError(
            f"n_steps={n_steps}: {type(buffer).__name__} makes returns of {steps} step{'s' if steps > 1 else ''}: make "
            "them one, or leave replay_buffer_class out"
        )
    if steps > 1 and buffer.gamma != gamma:  # pyright: ignore[reportAttributeAccessIssue]
        theirs = buffer.gamma  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(f"the buffer's returns have gamma {theirs}, the critics' {gamma}: make them one")
    if steps > 1 and normalised and isinstance(buffer, ResidualBuffer):
        raise ValueError(
            f"n_steps={steps} with VecNormalize: ResidualBuffer makes only returns of plain rewards; take one step, "
            "or leave replay_buffer_class out"
        )
    return steps


def check_buffers_alike(buffer: ReplayBuffer, other: ReplayBuffer, whose: str) -> None:
    """Check that another buffer's transitions and returns are of the kind of those of practice.

    Raises ValueError where they are of other spaces, or its returns are made otherwise.
    """
    steps = getattr(buffer, "n_steps", 1)
    for name in ("obs_shape", "action_dim", "n_steps", *(["gamma"] if steps > 1 else [])):
        here, there = (getattr(one, name, 1) for one in (buffer, other))
        if here != there:
            what = "returns" if name in ("n_steps", "gamma") else "transitions"
            raise ValueError(f"{what} of {whose} have {name} {there}, those of practice {here}")
    if getattr(buffer, "potential", False) != getattr(other, "potential", False):
        raise ValueError(f"of practice and {whose} one has potentials, the other has none")
