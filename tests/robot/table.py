"""A session on a table of toys: arm, cameras, operator, clock, environment."""

from __future__ import annotations

from robot.environment import FrankaEnv
from robot.session import NO_RESIDUAL
from tests.toy_arm import ToyArm, ToyClock
from tests.toy_station import Forward, ToyCamera, ToyOperator


class Table:
    """Everything of a session, at hand."""

    def __init__(self, operator: ToyOperator | None = None, **more) -> None:
        self.clock = ToyClock(5.0)
        self.arm, self.operator = ToyArm(self.clock), operator or ToyOperator()
        self.cameras = [ToyCamera(name, self.clock) for name in ("world", "wrist")]
        self.base = Forward()
        self.env = FrankaEnv(
            self.arm, self.cameras, self.base, self.operator, clock=self.clock, task="toy", **{"step_limit": 10, **more}
        )

    def steps(self, count: int, residual=None):
        found = [self.env.step(NO_RESIDUAL.act({}) if residual is None else residual) for _ in range(count)]
        return found[-1]
