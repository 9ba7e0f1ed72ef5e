#!/usr/bin/env bash
# FrankaKitchen in a vector environment: the list of solved tasks is empty in the info of the very step that solved them.
#
# Package:  gymnasium-robotics 1.4.2 beside gymnasium 1.4.0 (mujoco 3.11.0)
# Source:   gymnasium_robotics/envs/franka_kitchen/kitchen_env.py: info["episode_task_completions"] is described as the tasks
#           completed during the episode up to the current step; step() hands out the environment's own list, reset() clears it;
#           gymnasium/vector/vector_env.py, AutoresetMode.SAME_STEP and its final_info.
# Guess:    final_info["episode_task_completions"] of an episode's last step says what the episode solved: count it for success.
# Seen:     with autoreset in the same step the list is already empty when step() returns, although reward and terminated are
#           right; with autoreset in the next step it is right at first and empties itself, in the info that was kept, one step
#           later. step_task_completions, which is a copy, stays right. Success counted from the former is 0 %.
# Output:   SAME_STEP: reward 1.0, terminated True, final_info episode_task_completions [], step_task_completions ['microwave']
#           NEXT_STEP: ['microwave'], the same info one step later: []
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
from gymnasium.vector import AutoresetMode, SyncVectorEnv

gym.register_envs(gymnasium_robotics)
DOOR = 22  # position of the microwave's hinge; the goal is -0.75 rad


def solve(mode):
    vector = SyncVectorEnv(
        [lambda: gym.make("FrankaKitchen-v1", tasks_to_complete=["microwave"])], autoreset_mode=mode
    )
    vector.reset(seed=0)
    vector.envs[0].unwrapped.data.qpos[DOOR] = -0.75
    _, reward, terminated, _, info = vector.step(np.zeros((1, 9)))
    return vector, float(reward[0]), bool(terminated[0]), info


_, reward, terminated, info = solve(AutoresetMode.SAME_STEP)
last = info["final_info"]
episode, step = list(last["episode_task_completions"][0]), list(last["step_task_completions"][0])
print("SAME_STEP: reward", reward, "terminated", terminated, "episode_task_completions", episode, "step_task_completions", step)
assert reward == 1 and terminated and step == ["microwave"]
assert episode == [], "the final info knows what the episode solved now"

vector, reward, terminated, info = solve(AutoresetMode.NEXT_STEP)
kept = info["episode_task_completions"][0]
before = list(kept)
vector.step(np.zeros((1, 9)))
print("NEXT_STEP:", before, "and the same info one step later:", list(kept))
assert before == ["microwave"] and list(kept) == [], "a kept info stays as it was now"
PY
