"""Demonstrations cut into training windows, and batches of them that are a pure function of (seed, number).

    step      s   s+1  s+2 ...            s+15
    states    x    x                                observation horizon 2: the second is the present
    actions   a    a    a   ...             a       prediction horizon 16; run are the 8 from the present on

At an episode's ends the first and last steps are repeated, as Diffusion Policy does. A step at which the arm was held
is left out with what was seen before it: its action was not executed. A window passes over it, as over a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpr.core.data.episode import Episode
from rl.data.demonstrations import BadDemonstration, check_sizes, labels
from rl.policies.diffusion.sizes import Horizons

PolicyBatch = dict[str, Tensor]  # "state" [B, 2, D], "action" [B, 16, A], and one entry [B, 2, ...] a camera
CAMERA = "camera."  # a camera's key in a batch is this and its name


def policy_window_starts(steps: int, horizons: Horizons, pad_after: int) -> range:
    """First steps of the windows of an episode of T actions; before 0 and after T - 1 the ends are repeated."""
    first = 1 - horizons.observation
    return range(first, max(steps - horizons.prediction + pad_after, first) + 1)


class PolicyWindows:
    """All windows of the demonstrations, and endless batches of them by number.

    `views` holds a camera's frames made ready [sum of T+1, ...] (see `views.cached_view`). `pad_after` is how many
    repeated actions a window may end with (default: action horizon - 1). `states` [sum of K+1, D] and `actions` [sum of
    K, A] are those of the K steps of each that were executed.
    Raises BadDemonstration for none, for none executed, or for demonstrations that do not fit together.
    """

    def __init__(
        self,
        demonstrations: Sequence[Episode],
        horizons: Horizons,
        seed: int,
        views: Mapping[str, NDArray] | None = None,
        pad_after: int | None = None,
    ) -> None:
        first = demonstrations[0] if demonstrations else None
        check_sizes(demonstrations, *((first.states.shape[1], first.executed_actions.shape[1]) if first else (0, 0)))
        self.horizons, self.seed, self.views = horizons, seed, dict(views or {})
        executed = [np.flatnonzero(~d.log.unsent(len(d))) for d in demonstrations]
        seen = [np.append(steps, len(d)) for d, steps in zip(demonstrations, executed, strict=True)]
        if not any(map(len, executed)):
            raise BadDemonstration(
                f"{len(demonstrations)} demonstrations, each step of them was held: none was executed"
            )
        self.states = np.concatenate([d.states[at] for d, at in zip(demonstrations, seen, strict=True)])
        self.actions = np.concatenate([labels(d)[at] for d, at in zip(demonstrations, executed, strict=True)])
        first_frames = np.cumsum([0, *(len(d) + 1 for d in demonstrations[:-1])])
        self._frames = np.concatenate([first + at for first, at in zip(first_frames, seen, strict=True)])
        pad = horizons.action - 1 if pad_after is None else pad_after
        found = []  # a row a window: its start, its episode's K, first row in states and in actions
        state_row = action_row = 0
        for steps in map(len, executed):
            starts = policy_window_starts(steps, horizons, pad) if steps else ()
            found += [(s, steps, state_row, action_row) for s in starts]
            state_row, action_row = state_row + steps + 1, action_row + steps
        self.windows = np.array(found)
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.empty(0, np.intp))

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, number: int, size: int) -> PolicyBatch:
        """Batch `number` of `size` windows. Every epoch passes through all of them in an order of its own."""
        return self.windows_at(np.array([self._window(number * size + j) for j in range(size)]))

    def _window(self, number: int) -> int:
        epoch, k = divmod(number, len(self))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, 1, epoch)).permutation(len(self)))
        return int(self._order[1][k])

    def windows_at(self, which: NDArray[np.integer]) -> PolicyBatch:
        """The windows of the numbers `which` [B] as one batch."""
        start, steps, state_row, action_row = self.windows[which].T[:, :, None]  # [B, 1] each
        last = steps - 1
        seen = state_row + np.clip(start + np.arange(self.horizons.observation), 0, last)  # [B, 2]
        done = action_row + np.clip(start + np.arange(self.horizons.prediction), 0, last)  # [B, 16]
        batch = {"state": torch.from_numpy(self.states[seen]), "action": torch.from_numpy(self.actions[done])}
        return batch | {CAMERA + name: torch.from_numpy(view[self._frames[seen]]) for name, view in self.views.items()}
