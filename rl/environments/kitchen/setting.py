"""The kitchen's own numbers. Imports no simulator."""

from __future__ import annotations

STATE, ACTION = 62, 9  # widths of the kitchen's observation and action
KITCHEN_STEP_LIMIT = 150  # of an episode
KITCHEN_RATE_HZ = 12.5  # of steps
NOISE = 0.05  # standard deviation of the noise on executed arm actions, in action units
