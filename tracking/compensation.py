"""Camera compensation: the displacement that the camera itself gave the background (paper, III-C). Human clips only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracking.points import Transition


def mean_background(transition: Transition) -> NDArray[np.float32]:
    """Mean displacement [2] in pixels over all visible background points; zeros where there is none.

    Subtract it from the displacements of object and background points alike.
    """
    if not transition.background.any():
        return np.zeros(2, np.float32)
    return transition.delta[transition.background].mean(0, dtype=np.float64).astype(np.float32)
