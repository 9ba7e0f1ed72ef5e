"""How far a residual reaches: success of the scripted expert where it may add to the base policy no more than one does.

python results/practice/ceiling.py TASK BASE EPISODES ALPHA
"""

import sys
from pathlib import Path

import numpy as np

from rl.kitchen.environment import KitchenEnvironment
from rl.kitchen.expert import Follower, opening_plan
from rl.kitchen.with_base import Setting, kitchen_with_base
from rl.residual.environment import SELECTION

task, base, episodes, alpha = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
won = []
with kitchen_with_base(Setting(task, base, alpha)) as environment:
    kitchen = environment.unwrapped
    assert isinstance(kitchen, KitchenEnvironment)
    for seed in range(SELECTION, SELECTION + episodes):
        observation, info = environment.reset(seed=seed)
        expert, over = Follower(opening_plan(kitchen, np.random.default_rng(seed))), False
        while not over:
            wanted = (expert.act(kitchen.data) - observation[environment.base_slice]) / alpha
            residual = np.clip(wanted, -1, 1).astype(np.float32)
            observation, _, terminated, truncated, info = environment.step(residual)
            over = terminated or truncated
        won.append(info["is_success"])
print(f"{task}, alpha {alpha}: {np.mean(won):.2f} of {episodes}")
