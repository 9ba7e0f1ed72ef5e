"""How a residual policy's actor starts and how far it reaches: names and numbers. Imports no torch."""

from __future__ import annotations

RESIDUAL_SCALE = 0.1  # residual scale: the authors' code (MVerghese/FrankaControl), as in ResiP and ResFiT
INITS = ("zero", "orthogonal", "default")
LOG_STD = -1.0  # of a zero-initialised actor: noise of 0.37 residual_scale to begin with (as in ResiP)
LOG_STD_MIN, LOG_STD_MAX = -20, 2  # where stable-baselines3 clips it: its own numbers, which a test compares
