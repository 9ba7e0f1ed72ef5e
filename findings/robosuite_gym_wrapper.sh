#!/usr/bin/env bash
# robosuite's GymWrapper: the seed of reset() does not fix the start, and the time limit is reported as a termination.
#
# Package:  robosuite 1.5.2 (mujoco 3.3.7, gymnasium 1.4.0, numpy 1.26.4; without the packages that only devices and humanoids need)
# Source:   gymnasium's Env.reset (seed) and Env.step (terminated against truncated); robosuite/wrappers/gym_wrapper.py: its reset
#           "optionally resets seed", its step returns five values; robosuite.make(seed=...).
# Guess:    reset(seed=7) gives one start, so that two policies evaluated on the same seeds are paired; the horizon, 1000 steps
#           unless told otherwise, is a truncation, as with gymnasium's own TimeLimit.
# Seen:     reset(seed=7) three times places Lift's cube in three places: it seeds numpy's global generator, the task draws from its
#           own, which is made once from make(seed=...). With seed=7 there the *sequence* of starts is the same in each process, and
#           reset's seed still counts for nothing. At the horizon terminated is True and truncated False, with nothing in info: a critic learns
#           that the value there is zero. As reaching the goal ends no episode, every termination of this wrapper is a time limit.
# Output:   distinct starts of three reset(seed=7): 3, with make(seed=7) 3; at the horizon: terminated True, truncated False, info {}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q mujoco==3.3.7 gymnasium==1.4.0 numpy==1.26.4 numba==0.68.1 scipy==1.17.1 h5py==3.16.0 \
  opencv-python-headless==4.11.0.86 termcolor==3.3.0 tqdm==4.70.1 pillow==13.0.0
env/bin/pip install -q --no-deps robosuite==1.5.2
NUMBA_DISABLE_JIT=1 env/bin/python -W ignore - 2>/dev/null <<'PY'
import numpy as np
import robosuite
from robosuite.wrappers import GymWrapper

HORIZON = 3


def starts(**options):
    env = GymWrapper(
        robosuite.make(
            "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False,
            hard_reset=False, horizon=HORIZON, **options
        ),
        keys=["cube_pos"],
    )
    return env, [tuple(np.round(env.reset(seed=7)[0], 4).tolist()) for _ in range(3)]


found = {}
for name, options in (("make()", {}), ("make(seed=7)", {"seed": 7}), ("make(seed=7) again", {"seed": 7})):
    env, found[name] = starts(**options)
    print(name, "starts of reset(seed=7):", *found[name], flush=True)
for _ in range(HORIZON):
    _, _, terminated, truncated, info = env.step(np.zeros(env.action_space.shape))
print("at the horizon: terminated", terminated, "truncated", truncated, "info", info)
for places in found.values():
    assert len(set(places)) == 3, "the seed of reset fixes the start now"
assert found["make(seed=7)"] == found["make(seed=7) again"]
assert terminated and not truncated and "TimeLimit.truncated" not in info, "the time limit is a truncation now"
PY
