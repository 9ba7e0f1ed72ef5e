"""What sessions beside an arm and their commands have in common. Imports neither simulator nor drivers."""

from __future__ import annotations

ROBOT_RATE_HZ = 10.0  # of commands
ROBOT_STEP_LIMIT = 200  # steps of an episode, as in the paper's authors' code (github.com/MVerghese/FrankaControl)
# base policies that are no run folder: the simulated arm's own, the same with a door measured wrong, and none
EXPERT, ASTRAY, STAY = "expert", "scripted_noisy", "stay"
