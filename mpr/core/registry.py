"""Things of one kind by name, ours and those that other packages add. Imports none of them before it is used.

Adding a thing is a file and a line: here in the table of its kind, elsewhere in a package's pyproject.toml,

    [project.entry-points."mpr.rewards"]
    mine = "my_package.my_reward:MyReward"
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpr.core.errors import UserError, in_brief


@dataclass(frozen=True)
class Registry:
    """One kind's table: what is ours as "module:attribute", and the entry point group of what others add."""

    kind: str  # as in "reward", for messages
    group: str  # as in "mpr.rewards"
    ours: Mapping[str, str]

    def names(self) -> tuple[str, ...]:
        """All that there is: ours in the table's order, then the others by name."""
        return (*self.ours, *sorted(set(self._others()) - set(self.ours)))

    def check(self, name: str) -> None:
        """Raises UserError for a name that nothing has, naming those that there are."""
        if name not in self.ours and name not in self._others():
            raise UserError(f"no {self.kind} '{name}'; there is {', '.join(self.names()) or 'none'}")

    def load(self, name: str) -> Any:
        """The thing itself, imported now. Ours come before another package's of the same name.

        Raises UserError for a name that nothing has, and for another package's that cannot be imported.
        """
        self.check(name)
        if name in self.ours:
            return attribute(self.ours[name])
        found = self._others()[name]
        try:
            return found.load()
        except Exception as error:  # whatever another package's import raises
            why = f"{type(error).__name__}: {in_brief(error)}"
            raise UserError(f"{self.kind} '{name}' ({found.value}) cannot be imported ({why})") from error

    def _others(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {found.name: found for found in importlib.metadata.entry_points(group=self.group)}


def attribute(path: str) -> Any:
    """What "module:attribute" names, where the attribute may be "Class.method"."""
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found
