"""The simulated arm before the microwave, which stands to the arm's left and lower than its base.

It is not in the box of a table before the arm.
"""

from __future__ import annotations

from rl.environments.kitchen.tasks import MICROWAVE
from robot.safety.limits import Limits
from robot.simulated.expert import DoorExpert
from robot.simulated.tasks import TwinTask

TWIN = TwinTask(
    kitchen=MICROWAVE,
    limits=Limits(low=(-0.05, 0.30, -0.10), high=(0.70, 0.85, 0.60)),
    expert=DoorExpert,
)
