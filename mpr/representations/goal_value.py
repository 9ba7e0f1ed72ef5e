"""How near a frame is to a goal, as VIP has it: minus the distance of their vectors (arXiv 2210.00030)."""

from __future__ import annotations

from torch import Tensor


def goal_value(embedded: Tensor, goal: Tensor) -> Tensor:
    """V(o; g) = -|phi(o) - phi(g)|, Euclidean and not squared, [...] of vectors [..., D] (vip/models/model_vip.py)."""
    return -(embedded - goal).norm(dim=-1)
