"""How far apart in time two frames are, as TimeRewarder tells it: a choice among 20 distances (arXiv 2509.26627).

The distance of frames u and v of a clip of T frames is (v - u) / (T - 1), in [-1, 1]: negative where v comes before u.
It is not regressed but classified: a distance between two of the 20 evenly spaced ones is shared by these two in
proportion ("two-hot"), and a prediction is the mean of the 20 under the predicted probabilities.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DISTANCE_BINS = 20  # the paper's K


def distances(like: Tensor) -> Tensor:
    """The distances [20] that are chosen among, -1 to 1, beside a tensor [...] of that kind and place."""
    return torch.linspace(-1, 1, DISTANCE_BINS, dtype=like.dtype, device=like.device)


def two_hot(distance: Tensor) -> Tensor:
    """Shares [B, 20] of the two bins beside each distance [B], clipped to [-1, 1]: their mean is the distance."""
    place = (distance.clamp(-1, 1) + 1) / 2 * (DISTANCE_BINS - 1)
    lower = place.floor().clamp(max=DISTANCE_BINS - 2).long()
    above = (place - lower)[:, None]
    one = F.one_hot(lower, DISTANCE_BINS).to(distance.dtype)
    return one * (1 - above) + one.roll(1, 1) * above


class DistanceHead(nn.Module):
    """Logits of the distance from one frame to another, of their two vectors side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.choose = nn.LayerNorm(2 * width), nn.Linear(2 * width, DISTANCE_BINS)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Vectors [B, D] of frames and of others to logits [B, 20]."""
        return self.choose(self.norm(torch.cat([first, second], -1)))

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """The predicted distance [B], -1 to 1, from frames with vectors [B, D] to others."""
        logits = self(first, second)
        return logits.softmax(-1) @ distances(logits)
