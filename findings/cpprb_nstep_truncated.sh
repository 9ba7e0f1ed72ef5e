#!/usr/bin/env bash
# cpprb: with n-step returns the last transitions of an episode that ran out of time lead to an observation nobody saw.
#
# Package:  cpprb 11.0.0 (numpy 2.4.6)
# Source:   cpprb, ReplayBuffer(Nstep={"size": n, "next": "next_obs"}) and on_episode_end ("since episode exploration can be
#           terminated at certain length even though any done flags from environment is not set").
# Guess:    on_episode_end closes the n-step windows that are still open with what there is: the last observation of the episode as
#           next_obs, a shorter sum of rewards.
# Seen:     the sum is shorter, but next_obs of the last n - 1 transitions is full of ones, not the last observation and not one of any
#           episode. Where the episode ended by `done` this does no harm; where it ran out of time `done` is 0 and the critic learns to
#           bootstrap from a made-up state: two of five transitions here. One-step buffers are right.
# Output:   next_obs, one step: 101 102 103 104 105; three steps: 103 104 105 1 1, done 0 0 0 0 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q cpprb==11.0.0 numpy==2.4.6
env/bin/python - <<'PY'
from cpprb import ReplayBuffer

found = {}
for steps in (1, 3):
    settings = {"Nstep": {"size": steps, "gamma": 0.9, "rew": "rew", "next": "next_obs"}} if steps > 1 else {}
    buffer = ReplayBuffer(100, {"obs": {"shape": 2}, "rew": {}, "next_obs": {"shape": 2}, "done": {}}, **settings)
    for episode in (100, 200):  # five steps each, then the time is up
        for at in range(episode, episode + 5):
            buffer.add(obs=[at, at], rew=1.0, next_obs=[at + 1, at + 1], done=0.0)
        buffer.on_episode_end()
    kept = buffer.get_all_transitions()
    found[steps] = {name: values[:, 0].tolist() for name, values in kept.items()}
    print(steps, "steps:", found[steps])
assert found[1]["next_obs"] == [101, 102, 103, 104, 105, 201, 202, 203, 204, 205]
assert found[3]["obs"] == found[1]["obs"] and not any(found[3]["done"])
assert found[3]["next_obs"][:3] == [103, 104, 105]
wrong = [after for at, after in zip(found[3]["obs"], found[3]["next_obs"]) if after != min(at + 3, at // 100 * 100 + 5)]
print("next_obs that the episode never had:", wrong)
assert len(wrong) == 4, "the last observation is the next one now"
PY
