#!/usr/bin/env bash
# gymnasium's NormalizeReward adds one time-limited episode to the next: rewards come out five times smaller than in a vector.
#
# Package:  gymnasium 1.4.0 (numpy 2.4.6)
# Source:   gymnasium/wrappers/stateful_reward.py and gymnasium/wrappers/vector/stateful_reward.py (NormalizeReward in both);
#           Farama-Foundation/Gymnasium, the reports "NormalizeReward does not reset returns on env reset" and "NormalizeReward
#           Wrapper Terminated Signal", both closed.
# Guess:    the running return starts anew with each episode, whichever way the last one ended, and the wrapper for one
#           environment and the one for vectors scale alike.
# Seen:     only `terminated` sets the running return to zero; neither truncation nor reset() does. A robot task that runs to its
#           time limit (10 steps of reward 1, discount 0.99) has a true return of at most 9.6, but the running one climbs towards
#           1 / (1 - 0.99) = 100. The vector wrapper with AutoresetMode.SAME_STEP starts anew; the same wrapper with NEXT_STEP does
#           not. So a change of the autoreset mode, or from one environment to a vector, changes every reward fivefold.
# Output:   running return, mean: one environment 95.0, vector NEXT_STEP 95.0, vector SAME_STEP 5.3
#           the same step is paid 0.067 and 0.366; where episodes terminate, all three are of one size
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q gymnasium==1.4.0 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import NormalizeReward, TimeLimit
from gymnasium.wrappers.vector import NormalizeReward as VectorNormalizeReward


class Task(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(self, ends):
        self.ends = ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), 1.0, self.ends and self.steps == 10, False, {}


def one(ends):
    env = NormalizeReward(TimeLimit(Task(ends), 10), gamma=0.99)
    for _ in range(200):
        env.reset()
        for _ in range(10):
            paid = env.step(np.zeros(1))[1]
    return float(env.return_rms.mean), float(paid)


def vector(ends, mode):
    env = SyncVectorEnv([lambda: TimeLimit(Task(ends), 10)], autoreset_mode=mode)
    env = VectorNormalizeReward(env, gamma=0.99)
    env.reset()
    paid = 0.0
    for _ in range(2200):
        paid = env.step(np.zeros((1, 1)))[1][0] or paid  # not the step that only resets
    return float(env.return_rms.mean), float(paid)


for ends in (True, False):
    found = {"one": one(ends)}
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        found[mode.name] = vector(ends, mode)
    print("terminated" if ends else "truncated", {k: [round(x, 3) for x in v] for k, v in found.items()})
    if ends:
        assert all(mean < 10 for mean, _ in found.values())
    else:
        assert found["one"][0] > 80 and found["NEXT_STEP"][0] > 80, "truncation resets the running return now"
        assert found["SAME_STEP"][0] < 10, "the vector wrapper no longer starts anew"
        assert found["SAME_STEP"][1] > 4 * found["one"][1]
PY
