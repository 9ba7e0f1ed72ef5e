"""VIP: distances to a goal frame as values of a task that is nothing but reaching it (Ma et al., arXiv 2210.00030).

With o_0 the first frame of a stretch, g its last, s and s' two consecutive ones in it, V(o; g) = -|phi(o) - phi(g)| and
a reward of -1 for every step,

    L = (1 - gamma) mean(-V(o_0; g)) + log(e + mean exp(-(-1 + gamma V(s'; g) - V(s; g))))
        + log(e + mean exp(-(-1 + gamma V(s'~; g) - V(s~; g)))) + l1 mean |phi|_1 + l2 mean |phi|_2

where s~, s'~ are other clips' in the same batch, three permutations of it in one mean, and e = 1e-8. So the authors'
code has it (facebookresearch/vip, vip/trainer.py; the paper's Eq. 5 has neither the other clips nor the norms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpr.pretraining.objective import Objective
from mpr.representations.goal_value import goal_value

if TYPE_CHECKING:
    from mpr.pretraining.config import PretrainConfig, VipSettings

EPSILON = 1e-8


def vip_loss(embedded: Tensor, permutations: NDArray[np.intp], settings: VipSettings) -> Tensor:
    """The loss of vectors [B, 4, D] of the frames o_0, g, s, s'.

    Each of `permutations` [P, B] says whose s, s' stand before a clip's goal in the third term.
    """
    first, goal, now, after = embedded.unbind(1)

    def surprise(now: Tensor, after: Tensor, goal: Tensor) -> Tensor:
        step = -1 + settings.gamma * goal_value(after, goal) - goal_value(now, goal)
        return torch.log(EPSILON + torch.exp(-step).mean())

    loss = (1 - settings.gamma) * -goal_value(first, goal).mean() + surprise(now, after, goal)
    if len(permutations):
        others = torch.as_tensor(permutations.reshape(-1), device=embedded.device)
        loss = loss + surprise(now[others], after[others], goal.repeat(len(permutations), 1))
    norms = settings.l1 * embedded.abs().sum(-1).mean() + settings.l2 * embedded.norm(dim=-1).mean()
    return loss + norms


class Vip(Objective):
    """VIP's objective. Nothing is trained on top of the vectors."""

    frames = 4
    order_in_words = "minus the distance of a frame's vector to that of the clip's last frame."

    def __init__(self, settings: VipSettings) -> None:
        super().__init__()
        self.settings = settings

    @classmethod
    def of(cls, config: PretrainConfig, width: int) -> Vip:
        return cls(config.vip)

    def draw(self, length: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """First frame, goal, and two consecutive ones between them [4]: 0 <= first <= now < after <= goal.

        first ~ U{0 .. T-3}, goal ~ U{first+1 .. T-1}, now ~ U{first .. goal-1} (vip/utils/data_loaders.py).
        """
        first = int(rng.integers(0, length - 2))
        goal = int(rng.integers(first + 1, length))
        now = int(rng.integers(first, goal))
        return np.array([first, goal, now, now + 1], np.intp)

    def loss(self, embedded: Tensor, progress: Tensor, rng: np.random.Generator) -> Tensor:
        """`vip_loss` of a batch's vectors [B, 4, D], with permutations drawn for it."""
        permutations = [rng.permutation(len(embedded)) for _ in range(self.settings.negatives)]
        return vip_loss(embedded, np.array(permutations, np.intp), self.settings)

    def order(self, embedded: Tensor) -> Tensor:
        """The value of each frame [T] of a clip with vectors [T, D], its last one the goal."""
        return goal_value(embedded, embedded[-1])
