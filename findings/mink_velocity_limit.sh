#!/usr/bin/env bash
# mink: naming a velocity limit takes the joint limits away.
#
# Package:  mink 1.3.0 (mujoco 3.11.0, daqp 0.11.0, numpy 2.4.6)
# Source:   mink/solve_ik.py, `limits`: a configuration limit where None is given, off where the list is empty;
#           mink's examples, which name both limits where they name one.
# Guess:    solve_ik keeps the joints in the ranges of the model whatever else is asked of it: limits=[VelocityLimit(...)] makes
#           the arm slower and nothing more. (Only limits=[] sounds like "no limits".)
# Seen:     the list replaces the joint limits. With a target behind a two-joint arm whose joints reach ±30 degrees, the arm stops
#           at 30 with no list, and goes on to 130 degrees once a velocity limit is named. At most the log
#           has a line (safety_break, which would raise, is off).
# Output:   no list: joints at 26.6, 30.0 degrees; limits=[VelocityLimit]: -19.9, 129.8; both named: 26.6, 30.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q mink==1.3.0 mujoco==3.11.0 daqp==0.11.0 qpsolvers==4.13.0 numpy==2.4.6
env/bin/python - <<'PY'
import mink
import mujoco
import numpy as np

ARM = """
<mujoco><worldbody><body>
  <joint name="shoulder" axis="0 1 0" range="-30 30"/><geom type="capsule" size=".02" fromto="0 0 0 .5 0 0"/>
  <body pos=".5 0 0">
    <joint name="elbow" axis="0 1 0" range="-30 30"/><geom type="capsule" size=".02" fromto="0 0 0 .5 0 0"/>
    <site name="tip" pos=".5 0 0"/>
  </body>
</body></worldbody></mujoco>
"""
model = mujoco.MjModel.from_xml_string(ARM)
slow = mink.VelocityLimit(model, {"shoulder": 1.0, "elbow": 1.0})


def reach(limits):
    arm = mink.Configuration(model)
    task = mink.FrameTask("tip", "site", position_cost=1.0, orientation_cost=0.0)
    task.set_target(mink.SE3.from_translation(np.array([0.3, 0.0, -0.3])))
    fastest = 0.0
    for _ in range(400):
        velocity = mink.solve_ik(arm, [task], 0.02, "daqp", damping=1e-4, limits=limits)
        fastest = max(fastest, np.abs(velocity).max())
        arm.integrate_inplace(velocity, 0.02)
    return np.degrees(arm.q), fastest


none, _ = reach(None)
named, speed = reach([slow])
both, speed_both = reach([mink.ConfigurationLimit(model), slow])
print("no list:", none.round(1), " velocity limit:", named.round(1), " both:", both.round(1), "degrees")
assert np.abs(none).max() < 30.1
assert speed < 1.001 and speed_both < 1.001  # the velocity limit itself is kept
assert np.abs(named).max() > 90, "the joint limits stay when a velocity limit is named"
assert np.abs(both).max() < 30.1
PY
