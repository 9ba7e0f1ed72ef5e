"""Any environment that gymnasium knows by an id: `--env gymnasium:Pendulum-v1`, with flat Box spaces."""

from __future__ import annotations

import ast
import shlex
from typing import TYPE_CHECKING, Any

from mpr.core.errors import UserError, in_brief
from rl.environments.kind import EnvironmentKind
from rl.environments.setting import Setting

if TYPE_CHECKING:
    import gymnasium


class GymnasiumKind(EnvironmentKind):
    """`--env_options` are keyword arguments of gymnasium.make, max_episode_steps=200 among them."""

    def check(self, setting: Setting) -> None:
        super().check(setting)
        if not setting.name:
            raise UserError(f"--env {setting.env}: an id is needed, as gymnasium:Pendulum-v1")
        keywords(setting.options)

    def make(self, setting: Setting) -> gymnasium.Env:
        import gymnasium

        try:
            env = gymnasium.make(setting.name, **keywords(setting.options))
        except Exception as error:  # an id that is none, a package that lacks, an argument of another name
            raise UserError(f"--env {setting.env}: {type(error).__name__}: {in_brief(error)}") from error
        if env.spec is None or env.spec.max_episode_steps is None:
            env.close()
            raise UserError(f"--env {setting.env} never ends: give --env_options max_episode_steps=N")
        return env


def keywords(options: str) -> dict[str, Any]:
    """Arguments out of "key=value key=value": numbers, True, False and None as Python's, all else as text."""
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise UserError(f"--env_options '{options}': {error}") from error
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"--env_options: '{word}' is not key=value")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found
