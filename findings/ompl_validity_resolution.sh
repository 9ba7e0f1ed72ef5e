#!/usr/bin/env bash
# OMPL: how closely a motion is checked depends on the joints that do not move; an arm's hand sweeps through a post.
#
# Package:  ompl 2.0.1 (numpy 2.4.6)
# Source:   ompl/base/StateSpace: the longest valid segment is a *fraction*, 0.01, of the space's maximum extent; the tutorials, which
#           set a validity checker and plan.
# Guess:    the default of 1 % is fine enough: 1 % of what a joint moves. Joints that stay where they are change nothing.
# Seen:     the extent of seven joints of +-2.9 rad is 15 rad, so states are checked 0.15 rad apart: 12 cm at a hand 0.8 m from the
#           shoulder that turns. Two in three sweeps through a post of 4 cm are valid, says the space; with the same
#           arm declared as two joints one in three. Five times finer (0.002) finds every one. A path's check() looks at the same states.
# Output:   7 joints: 138 of 200 sweeps through the post pass; 2 joints: 66; 7 joints at 0.002: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q ompl==2.0.1 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
from ompl import base

POST, RADIUS = np.array([0.8, 0.0]), 0.02


def hand(joints):
    """A planar arm of two links of 0.4 m; further joints turn the hand on the spot."""
    return 0.4 * np.array([np.cos(joints[0]) + np.cos(joints[0] + joints[1]), np.sin(joints[0]) + np.sin(joints[0] + joints[1])])


def passed(joints, fraction=None):
    space, bounds = base.RealVectorStateSpace(joints), base.RealVectorBounds(joints)
    bounds.setLow(-2.9)
    bounds.setHigh(2.9)
    space.setBounds(bounds)
    if fraction:
        space.setLongestValidSegmentFraction(fraction)
    information = base.SpaceInformation(space)
    information.setStateValidityChecker(lambda state: bool(np.linalg.norm(hand([state[0], state[1]]) - POST) > RADIUS))
    information.setup()
    start, goal = space.allocState(), space.allocState()
    rng, count = np.random.default_rng(0), 0
    for _ in range(200):  # from one side of the post to the other, the shoulder alone: the hand passes its very middle
        for n in range(joints):
            start[n] = goal[n] = 0.0
        start[0], goal[0] = -rng.uniform(0.3, 1.2), rng.uniform(0.3, 1.2)
        count += information.checkMotion(start, goal)
    print(joints, "joints, fraction", fraction or "as it comes", "| segment", round(space.getLongestValidSegmentLength(), 3), "rad,",
          count, "of 200 sweeps through the post are valid", flush=True)
    return count


assert passed(7) > 80, "motions are checked more closely now"
assert passed(7) > passed(2) > 20
assert passed(7, 0.002) == 0
PY
