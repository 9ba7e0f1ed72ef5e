#!/usr/bin/env bash
# FrankaKitchen: a deep copy, or a pickled one, of an environment in the middle of an episode is a new one that was never reset, and says nothing.
#
# Package:  gymnasium-robotics 1.4.2 (gymnasium 1.4.0, mujoco 3.11.0)
# Source:   gymnasium/utils/ezpickle.py: __getstate__ keeps the constructor's arguments, __setstate__ calls the constructor;
#           gymnasium_robotics/envs/franka_kitchen/kitchen_env.py: class KitchenEnv(GoalEnv, EzPickle).
# Guess:    copy.deepcopy copies: the copy stands where the episode stands, as MuJoCo's own MjData does when it is copied, so that a
#           planner can try actions on it.
# Seen:     the copy's arm is where the model file has it, in which no episode ever starts, and step() works all the same: the
#           time-limit wrapper around it was copied with its counter, so it says nothing of a missing reset either. References to
#           `data` that a wrapper or subclass holds are copied too: they show the old state, which no step changes any more.
#           copy.copy(env.data), mujoco's own, does keep the state.
# Output:   joints moved by 20 steps: 1.02 rad; deepcopy: 2.87 rad from the episode, 2.48 from the first pose; MjData's copy: 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q gymnasium-robotics==1.4.2 gymnasium==1.4.0 mujoco==3.11.0
env/bin/python -W ignore - <<'PY'
import copy
import pickle

import gymnasium as gym
import gymnasium_robotics
import numpy as np

gym.register_envs(gymnasium_robotics)
env = gym.make("FrankaKitchen-v1", tasks_to_complete=["microwave"], robot_noise_ratio=0.0)
env.reset(seed=0)
first = env.unwrapped.data.qpos[:9].copy()
for _ in range(20):
    env.step(np.full(9, 0.5))
now = env.unwrapped.data.qpos[:9].copy()
kept = copy.copy(env.unwrapped.data)
held = env.unwrapped.data  # as a wrapper or subclass may


def apart(one, other):
    return float(np.abs(one - other).max())


print(f"joints moved by 20 steps: {apart(now, first):.2f} rad")
for name, other in (("deepcopy", copy.deepcopy(env)), ("pickle", pickle.loads(pickle.dumps(env)))):
    there = other.unwrapped.data.qpos[:9].copy()
    _, _, terminated, truncated, _ = other.step(np.zeros(9))
    steps = getattr(other.get_wrapper_attr("_elapsed_steps"), "real", None)
    print(f"{name}: {apart(there, now):.2f} rad from the episode, {apart(there, first):.2f} from the first pose; steps counted: {steps}")
    assert apart(there, now) > 0.3 and apart(there, first) > 0.3, "the copy stands where the episode stands now, or started"
    assert not terminated and not truncated
print(f"MjData's own copy: {apart(kept.qpos[:9], now):.2f} rad from the episode")
assert apart(kept.qpos[:9], now) == 0
mine, theirs = copy.deepcopy((env, held))
before = theirs.qpos.copy()
for _ in range(20):
    mine.step(np.full(9, 0.5))
print(f"data that was copied along, after 20 steps of the copy: moved by {apart(theirs.qpos, before):.2f} rad, the copy's by",
      f"{apart(mine.unwrapped.data.qpos[:9], first):.2f}")
assert apart(theirs.qpos, before) == 0 and theirs is not mine.unwrapped.data
PY
