"""The signal as a potential: it may teach, and cannot change which policy is best.

    Phi_t = weight * (sum of the signal of the steps before t),   0 at an episode's end, time-outs included
    F_t   = gamma * Phi_{t+1} - Phi_t,   in the place of weight * signal_t        (Ng, Harada & Russell, ICML 1999)

The discounted sum of F over an episode is -Phi_0 = 0, whatever the signal was: what is gained on the way is given back
at the end, and hurrying is worth as much as without a signal. Phi depends on what went before, so critics are shown it
beside the observation. It is known only when an episode is over; the actor acts before, and is not shown it.

A step that is none to learn from adds nothing to Phi, which goes on behind it where it stood.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def potentials(signal: NDArray[np.float32], kept: NDArray[np.bool_], weight: float = 1.0) -> NDArray[np.float64]:
    """[T, 2] Phi before and after each step of a whole episode with this signal [T].

    kept: [T] which steps are learned from; after the last of them Phi is 0.
    """
    each = weight * np.where(kept, signal, 0.0).astype(np.float64)
    after = np.cumsum(each)
    found = np.stack([after - each, after], 1)
    if kept.any():
        found[np.flatnonzero(kept)[-1] :, 1] = 0.0
    return found


def shaping_rewards(phi: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """F [T] of `potentials` [T, 2]."""
    return gamma * phi[:, 1] - phi[:, 0]
