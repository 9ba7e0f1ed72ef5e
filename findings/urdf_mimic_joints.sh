#!/usr/bin/env bash
# A gripper whose second finger mimics the first, in one URDF: five libraries, three answers, not a word about it.
#
# Packages: pin (Pinocchio) 4.1.0, yourdfpy 0.0.60, kinpy 0.6.1, pytransform3d 3.17.0, mujoco 3.11.0 and 4.0.0 (numpy 2.4.6)
# Source:   URDF's specification of <mimic>: value = multiplier * other joint + offset; Franka's hand has one;
#           Pinocchio's buildModelFromUrdf / buildModelFromXML (an argument `mimic`); google-deepmind/mujoco, the report
#           "URDF <mimic> is dropped silently"; kinpy/urdf_parser_py/urdf.py, which reads the tag.
# Guess:    a library that reads URDF moves the second finger with the first, or says that it cannot; so the finger tip, and the
#           length of the joint vector, are the same everywhere.
# Seen:     yourdfpy has 1 joint and moves the finger. Pinocchio has 2 free joints unless asked with mimic=True, mujoco 3.11 two free
#           joints, kinpy and pytransform3d leave the second finger at 0 when the first is set. mujoco 4.0.0, which reads the same
#           file, has 2 joints and an equality between them: it holds in simulation, a forward pass at set positions does not know it.
#           With the first finger at 0.04 m the second one's link is at -0.03 m or at 0 m.
# Output:   joints: yourdfpy 1, pin 2 (mimic=True: 1), kinpy 2, mujoco 3.11 2 and 0 equalities, mujoco 4.0 2 and 1
#           second finger, y: yourdfpy -0.03, kinpy 0, pytransform3d 0, pin mimic=True -0.03
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > hand.urdf <<'URDF'
<robot name="hand">
  <link name="hand"/>
  <link name="left"><inertial><mass value="0.1"/><inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="right"><inertial><mass value="0.1"/><inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="finger1" type="prismatic">
    <parent link="hand"/><child link="left"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="0.04" effort="20" velocity="0.2"/>
  </joint>
  <joint name="finger2" type="prismatic">
    <parent link="hand"/><child link="right"/><axis xyz="0 -1 0"/>
    <limit lower="0" upper="0.04" effort="20" velocity="0.2"/>
    <mimic joint="finger1" multiplier="0.5" offset="0.01"/>
  </joint>
</robot>
URDF
python3.11 -m venv env
env/bin/pip install -q pin==4.1.0 yourdfpy==0.0.60 kinpy==0.6.1 pytransform3d==3.17.0 mujoco==3.11.0 numpy==2.4.6
python3.11 -m venv newer
newer/bin/pip install -q mujoco==4.0.0
env/bin/python - <<'PY'
import kinpy
import mujoco
import numpy as np
import pinocchio
import yourdfpy
from pytransform3d.urdf import UrdfTransformManager

TEXT = open("hand.urdf").read()
OPEN, COUPLED = 0.04, -0.03  # finger1, and where that puts the link of finger2

joints, place = {}, {}
robot = yourdfpy.URDF.load("hand.urdf")
robot.update_cfg([OPEN])
joints["yourdfpy"], place["yourdfpy"] = robot.num_actuated_joints, robot.get_transform("right", "hand")[1, 3]

joints["pin"] = pinocchio.buildModelFromXML(TEXT).nq
model = pinocchio.buildModelFromXML(TEXT, mimic=True)
data = model.createData()
pinocchio.framesForwardKinematics(model, data, np.array([OPEN]))
joints["pin, mimic=True"] = model.nq
place["pin, mimic=True"] = data.oMf[model.getFrameId("right")].translation[1]

chain = kinpy.build_chain_from_urdf(TEXT)
joints["kinpy"] = len(chain.get_joint_parameter_names())
place["kinpy"] = chain.forward_kinematics({"finger1": OPEN})["right"].pos[1]

frames = UrdfTransformManager()
frames.load_urdf(TEXT)
frames.set_joint("finger1", OPEN)
place["pytransform3d"] = frames.get_transform("right", "hand")[1, 3]

model = mujoco.MjModel.from_xml_string(TEXT)
joints["mujoco " + mujoco.__version__] = (model.nq, model.neq)
place = {name: round(float(y), 4) + 0.0 for name, y in place.items()}
print("joints:", joints)
print("second finger, y:", place)
assert joints == {"yourdfpy": 1, "pin": 2, "pin, mimic=True": 1, "kinpy": 2, "mujoco 3.11.0": (2, 0)}, "joints counted otherwise"
assert place == {"yourdfpy": COUPLED, "pin, mimic=True": COUPLED, "kinpy": 0, "pytransform3d": 0}, "fingers move otherwise"
PY
newer/bin/python - <<'PY'
import mujoco
import numpy as np

model = mujoco.MjModel.from_xml_path("hand.urdf")
data = mujoco.MjData(model)
data.joint("finger1").qpos = 0.04
mujoco.mj_forward(model, data)
print("mujoco", mujoco.__version__, "joints, equalities:", model.nq, model.neq, "second finger, y:", round(float(data.body("right").xpos[1]), 4))
assert model.nq == 2 and model.neq == 1 and np.allclose(model.eq_data[0, :2], [0.01, 0.5])
assert data.body("right").xpos[1] == 0
PY
