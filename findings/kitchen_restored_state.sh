#!/usr/bin/env bash
# FrankaKitchen: a state put back with set_state does not play on as it did: the first command still starts from the old pose.
#
# Package:  gymnasium-robotics 1.4.2 (gymnasium 1.4.0, mujoco 3.11.0)
# Source:   gymnasium/envs/mujoco/mujoco_env.py, MujocoEnv.set_state (positions and velocities, then a forward pass);
#           gymnasium_robotics/envs/franka_kitchen/franka_env.py: _last_robot_qpos, written by _get_obs alone.
# Guess:    MuJoCo's positions and velocities are all the state there is (no actuator of the kitchen has one of its own), so that
#           with the noise off set_state(qpos, qvel) and the same actions give the same motion.
# Seen:     the arm jerks towards the pose it had *before* the restore: the joint targets of the first step are counted from the
#           last observation. The difference of that one step stays for the rest of the episode. Asking for an observation right
#           after set_state (_get_obs) is enough: then the motion is the same to the last bit.
# Output:   after set_state alone, steps 1, 2, 20: 0.0708 0.0707 0.0707 rad apart; with _get_obs after it: 0.0 0.0 0.0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q gymnasium-robotics==1.4.2 gymnasium==1.4.0 mujoco==3.11.0
env/bin/python -W ignore - <<'PY'
import gymnasium as gym
import gymnasium_robotics
import numpy as np

gym.register_envs(gymnasium_robotics)
env = gym.make("FrankaKitchen-v1", tasks_to_complete=["microwave"], robot_noise_ratio=0.0)
env.reset(seed=0)
robot, data = env.unwrapped.robot_env, env.unwrapped.data
for _ in range(20):
    env.step(np.full(9, 0.5))
assert data.act.size == 0  # actuators without a state of their own
positions, velocities = data.qpos.copy(), data.qvel.copy()
actions = np.random.default_rng(0).uniform(-1, 1, (20, 9))


def play():
    joints = []
    for action in actions:
        env.step(action)
        joints.append(data.qpos[:9].copy())
    return np.array(joints)


first = play()
robot.set_state(positions, velocities)
restored = np.abs(play() - first).max(axis=1)
robot.set_state(positions, velocities)
robot._get_obs()
observed = np.abs(play() - first).max(axis=1)
for name, apart in (("set_state alone", restored), ("and _get_obs after it", observed)):
    print(f"{name}, steps 1, 2, 20 [rad]:", *(f"{apart[n]:.4f}" for n in (0, 1, 19)))
assert restored[0] > 0.02 and restored[-1] > 0.02, "set_state alone restores the episode now"
assert observed.max() == 0, "more than the last observation is missing"
PY
