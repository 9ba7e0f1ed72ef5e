"""The kitchen's physics with an arm that obeys torques: FrankaKitchen-v1's MJCF, its arm's position servos taken out.

The stock arm is a stiff servo in thick oil (100 N m s/rad at the shoulder): it cannot be pushed and does not feel a
door. Here each joint has a motor with a Panda's torque limits, the rotor inertia and friction of MuJoCo Menagerie's
Panda, and no more. Joint order is the kitchen's, so a qpos from here poses the kitchen's `build_kitchen()` alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rl.environments.kitchen.scene import model_path
from rl.environments.kitchen.tasks import ARM, FINGER_JOINTS
from tracking.simulator.gl import mujoco

TIMESTEP = 0.001  # seconds: 1 kHz, as a Franka's control box
TORQUE = np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])  # N m
ROTOR_INERTIA = 0.1  # kg m^2, seen at the joint
JOINT_DAMPING = 1.0  # N m s/rad
FINGER_MASS = 0.5  # kg: the hand's own inertia, seen at a finger; the stock 5 kg would hammer on what it closes on
FINGER_STIFFNESS = 5000.0  # N/m: stiff, so that the width asked for is the width got, or the force limit
FINGER_DAMPING = 100.0  # N s/m: critical
GRIP = 40.0  # N, of each finger


def torque_model() -> Any:
    """mujoco.MjModel: controls 0..6 are joint torques (N m), 7 and 8 finger positions (0 to 0.04 m)."""
    spec = mujoco.MjSpec.from_file(str(model_path()))
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    for actuator, limit in zip(spec.actuators[ARM], TORQUE, strict=True):
        actuator.set_to_motor()
        actuator.ctrlrange = actuator.forcerange = [-limit, limit]
    for actuator in spec.actuators[FINGER_JOINTS]:
        actuator.set_to_position(kp=FINGER_STIFFNESS)
        actuator.forcerange = [-GRIP, GRIP]
    model = spec.compile()
    model.dof_damping[ARM], model.dof_armature[ARM] = JOINT_DAMPING, ROTOR_INERTIA
    model.dof_damping[FINGER_JOINTS], model.dof_armature[FINGER_JOINTS] = FINGER_DAMPING, FINGER_MASS
    mujoco.mj_setConst(model, mujoco.MjData(model))  # what the compiler worked out from the inertia it saw
    return model
