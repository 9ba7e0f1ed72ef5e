#!/usr/bin/env bash
# panda_py: its inverse kinematics is of a hand 0.4 mm longer than its forward kinematics: a hold pose loop creeps.
#
# Package:  panda-python 1.1.1 (imported as panda_py)
# Source:   panda_py.fk, "computes end-effector pose in base frame", panda_py.ik, "analytical inverse kinematics"; Franka's
#           DH table (flange 0.107 m) and hand (0.1034 m).
# Guess:    analytic, so ik(fk(q), q, q[6]) is q to rounding; a loop that takes the pose of the last command, adds the operator's wish and
#           asks for joints stands still when the operator does.
# Seen:     fk ends 0.210 m behind the last joint, ik 0.2104 m. Every there and back moves the hand backwards along its own axis by exactly
#           0.400 mm, whatever the pose: at 20 Hz 8 mm/s, 40 mm in 5 s, upwards where the hand points down.
# Output:   0.400 mm in 200 of 200 poses; after 100 rounds of q = ik(fk(q), q, q[6]) the hand is 40.0 mm higher
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q panda-python==1.1.1 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import panda_py

HOME = np.array([0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4])
rng = np.random.default_rng(0)
steps = []
for _ in range(200):
    joints = HOME + rng.uniform(-0.3, 0.3, 7)
    pose = panda_py.fk(joints)
    again = panda_py.fk(panda_py.ik(pose, joints, joints[6]))
    moved = np.linalg.inv(pose) @ again  # in the hand's frame
    assert np.allclose(moved[:3, :3], np.eye(3), atol=1e-6)
    steps.append(1e3 * moved[:3, 3])
steps = np.array(steps)
print("there and back, in the hand's frame [mm]: mean", steps.mean(0).round(4), "spread", np.ptp(steps, 0).max().round(6))

joints, start = HOME, panda_py.fk(HOME)
for _ in range(100):
    joints = panda_py.ik(panda_py.fk(joints), joints, joints[6])
crept = 1e3 * (panda_py.fk(joints) - start)[:3, 3]
print("after 100 rounds the hand has moved by", crept.round(2), "mm")
assert np.allclose(steps, [0, 0, -0.4], atol=1e-3), "there and back is the same pose now"
assert 39 < crept[2] < 41
PY
