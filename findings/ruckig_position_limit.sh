#!/usr/bin/env bash
# ruckig takes max_position and min_position and does not keep them.
#
# Package:  ruckig 0.19.4
# Source:   ruckig's InputParameter in Python, which has max_position and min_position beside max_velocity and the others, and its
#           Result, which has ErrorPositionalLimits (in the README's table of errors too; a remark in include/ruckig/result.hpp, "only
#           in Ruckig Pro", is all there is to warn of it); pantor/ruckig, the question "How to check position extrema with new input parameters while ruckig is
#           working" (the way out: position_extrema of the calculated trajectory).
# Guess:    a limit that can be set is kept, or is refused as impossible or as unavailable (as an invalid velocity limit is).
# Seen:     neither: a joint that moves at 1 rad/s towards its target 0.1 rad ahead swings to 0.386 rad with max_position = 0.2, and
#           with a maximum of 0.2 a *target* of 0.5 is accepted and reached. validate() and validate_input() say True, calculate() and
#           update() Working: for the one joint limit that a planner around an arm is asked for, nothing is said. Only
#           trajectory.position_extrema tells.
# Output:   validate True, Result.Working, furthest 0.386 with a maximum of 0.2; target 0.5: True, Result.Working, ends at 0.500
#           a negative max_velocity, for comparison: refused
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q ruckig==0.19.4
env/bin/python - <<'PY'
from ruckig import InputParameter, Result, Ruckig, RuckigError, Trajectory


def joint(target):
    it = InputParameter(1)
    it.current_position, it.current_velocity, it.current_acceleration = [0.0], [1.0], [0.0]
    it.target_position = [target]
    it.max_velocity, it.max_acceleration, it.max_jerk = [2.0], [1.0], [10.0]
    it.min_position, it.max_position = [-1.0], [0.2]
    return it


def plan(it):
    planner, trajectory = Ruckig(1, 0.01), Trajectory(1)
    valid = planner.validate_input(it, True, True)
    return valid, planner.calculate(it, trajectory), trajectory


valid, result, trajectory = plan(joint(0.1))
furthest = trajectory.position_extrema[0].max
print("maximum 0.2:", valid, result, "furthest", round(furthest, 3))
assert valid and result == Result.Working and furthest > 0.3, "position limits are kept or refused now"

valid, result, trajectory = plan(joint(0.5))
end = trajectory.at_time(trajectory.duration)[0][0]
print("target 0.5 with a maximum of 0.2:", valid, result, "ends at", round(end, 3))
assert valid and result == Result.Working and abs(end - 0.5) < 1e-6

wrong = joint(0.1)
wrong.max_velocity = [-1.0]
try:
    refused = not Ruckig(1, 0.01).validate_input(wrong, True, True)
except RuckigError:
    refused = True
print("a negative velocity limit is refused:", refused)
assert refused
PY
