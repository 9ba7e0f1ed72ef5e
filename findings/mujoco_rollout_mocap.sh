#!/usr/bin/env bash
# mujoco.rollout: mocap bodies and welds jump back to where the model has them; what is rolled out is another world.
#
# Package:  mujoco 3.11.0 (numpy 2.4.6)
# Source:   mujoco/rollout.py (initial_state is the full physics state; `data`: "associated mjData"); python/mujoco/rollout.cc, which
#           clears the inputs that control_spec does not name; gymnasium-robotics' Fetch and MetaWorld, whose hands hang on a mocap body.
# Guess:    rollout(model, data, state of data) without controls does what as many mj_step on that data do: the state is given
#           in full, the rest is in `data`.
# Seen:     mocap poses, eq_active, applied forces are no part of the full physics state, and are not taken from `data` either: they are reset
#           to the model's, in the data passed too. A hand led 0.3 m away by a mocap body is pulled back within
#           half a second of every planned future; a grasp (weld) that was let go closes again. Named in control_spec, they stay.
# Output:   hand after 1 s, x: mj_step 0.300 m, rollout 0.000 m, rollout with mjSTATE_USER 0.300 m; block let go falls to
#           -4.4 m, in the rollout it hangs at 0.5 m
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q mujoco==3.11.0 numpy==2.4.6
env/bin/python - <<'PY'
import copy

import mujoco
import numpy as np
from mujoco import rollout

WORLD = """
<mujoco><worldbody>
  <body name="led" mocap="true" pos="0 0 .5"/>
  <body name="hand" pos="0 0 .5"><freejoint/><geom size=".05" mass="1"/></body>
  <body name="block" pos="1 0 .5"><freejoint/><geom size=".05" mass="1"/></body>
</worldbody><equality><weld body1="led" body2="hand"/><weld body1="world" body2="block"/></equality></mujoco>
"""
FULL, USER = mujoco.mjtState.mjSTATE_FULLPHYSICS, mujoco.mjtState.mjSTATE_USER
model = mujoco.MjModel.from_xml_string(WORLD)
now = mujoco.MjData(model)
now.mocap_pos[0] = 0.3, 0.0, 0.5
for _ in range(2000):
    mujoco.mj_step(model, now)
now.eq_active[1] = 0  # let go


def state(kind):
    values = np.zeros(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, now, values, kind)
    return values


full, user, steps = state(FULL), state(USER), 500
stepped, plain, named = (copy.copy(now) for _ in range(3))
for _ in range(steps):
    mujoco.mj_step(model, stepped)
found = {"mj_step": stepped.qpos.copy()}
ends, _ = rollout.rollout(model, plain, full[None], nstep=steps)
found["rollout"] = ends[0, -1, 1 : 1 + model.nq]
ends, _ = rollout.rollout(model, named, full[None], np.tile(user, (1, steps, 1)), control_spec=USER.value)
found["rollout, USER"] = ends[0, -1, 1 : 1 + model.nq]
for name, qpos in found.items():
    print(f"{name:14} hand x {qpos[0]:.3f} m, block z {qpos[9]:.3f} m")
print("mocap body of the data passed, before and after:", now.mocap_pos[0], plain.mocap_pos[0])
assert abs(found["mj_step"][0] - 0.3) < 0.01 and found["mj_step"][9] < -4
assert np.allclose(found["mj_step"], found["rollout, USER"], atol=1e-6)
assert abs(found["rollout"][0]) < 0.01 and found["rollout"][9] > 0.4, "mocap poses and welds are taken from the data now"
PY
