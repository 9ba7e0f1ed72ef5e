#!/usr/bin/env bash
# In FrankaKitchen a zero action does not hold the arm: it sinks.
#
# Package:  gymnasium-robotics 1.4.2 (gymnasium 1.4.0, mujoco 3.11.0)
# Source:   gymnasium_robotics/envs/franka_kitchen/kitchen_env.py: its table of actions lists joint velocities, -1 to 1;
#           gymnasium_robotics/envs/franka_kitchen/franka_env.py, FrankaRobot._ctrl_velocity_limits.
# Guess:    velocity 0 = stay where you are; a policy that is unsure, a padded action or a pause does no harm.
# Seen:     each step sets the position servos to (joint positions as last *observed*) + velocity * 0.08 s. The servos give way
#           under gravity, and the next step takes the lower place as the new target: with zero actions and the noise off the
#           third joint turns by 0.16 rad in the first second and 1 rad in ten, to the end of its range. Without gravity it stands.
#           The noise on the observation (robot_noise_ratio, 0.01 unless told otherwise) is inside that loop as well: the same
#           actions from the same start end in another place of the *true* joints for another seed; with the noise at 0 they do not.
# Output:   joint 3 moved [rad] after 1, 5, 10, 20 s: 0.156 0.700 0.993 1.059
#           same actions, two seeds, largest difference of true joints [rad]: {0.01: 0.0047, 0.0: 0.0}
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


def play(actions, noise, seed, gravity=True):
    env = gym.make("FrankaKitchen-v1", tasks_to_complete=["microwave"], robot_noise_ratio=noise)
    env.reset(seed=seed)
    if not gravity:
        env.unwrapped.model.opt.gravity[:] = 0
    joints = [env.unwrapped.data.qpos[:9].copy()]
    for action in actions:
        env.step(action)
        joints.append(env.unwrapped.data.qpos[:9].copy())
    return np.array(joints)


still = play(np.zeros((250, 9)), 0.0, 0)
moved = np.abs(still - still[0])
print("joint 3 moved [rad] after 1, 5, 10, 20 s:", *(f"{moved[n, 2]:.3f}" for n in (12, 62, 125, 250)))
assert moved[250, 2] > 0.5, "a zero action holds the arm now"
floating = play(np.zeros((250, 9)), 0.0, 0, gravity=False)
assert abs(floating[250, 2] - floating[0, 2]) < 0.01, "not gravity"

actions = np.random.default_rng(3).uniform(-1, 1, (60, 9))
apart = {noise: np.abs(play(actions, noise, 0) - play(actions, noise, 1)).max() for noise in (0.01, 0.0)}
print("same actions, two seeds, largest difference of true joints [rad]:", {k: round(float(v), 4) for k, v in apart.items()})
assert apart[0.0] == 0, "the start depends on the seed: the comparison says nothing"
assert apart[0.01] > 0.001, "observation noise no longer moves the arm"
PY
