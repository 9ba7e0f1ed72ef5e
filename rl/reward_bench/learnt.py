"""What a policy's critics have learnt each state of an episode to be worth: the paper's Fig. 5 beside the reward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.checkpoints import BadCheckpoint, refuse_unfinished
from mpr.core.data.episode import Episode
from rl.environments.kind import base_digest
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.residual import observe
from rl.environments.setting import Setting
from rl.policies.residual import ResidualPolicy
from rl.residual.checkpoint import load_residual_policy


class LearntValue:
    """The critics of a finished run of `mpr finetune` in a kitchen task, asked about recorded episodes."""

    def __init__(self, run: Path, task: str) -> None:
        """Raises BadCheckpoint for a run of another environment, or whose base policy has changed since."""
        refuse_unfinished(run, "mpr finetune")
        self.policy: ResidualPolicy
        self.about: dict[str, Any]
        self.policy, self.about = load_residual_policy(run)
        if self.about["env"] != f"kitchen:{task}":
            raise BadCheckpoint(f"{run} practised {self.about['env']}, asked is kitchen:{task}")
        base = Path(self.about["base"])
        if self.about["base_weights"] != base_digest(base):
            raise BadCheckpoint(f"{run} practised on another base policy than {base} now holds")
        self.run = run
        self.setting = Setting(
            self.about["env"], base, float(self.about["residual_scale"]), ddim_steps=self.about["ddim_steps"]
        )

    def along(self, episode: Episode) -> NDArray[np.float64]:
        """The lower of the critics' values [T] of the state and the policy's own action at each step.

        The base policy is asked in the episode's states, in order, with the episode's seed. Raises BadCheckpoint for
        critics that look at more than state and base action.
        """
        import torch

        with kitchen_with_base(self.setting) as environment:
            environment.base.reset(episode.seed or 0)
            states = np.asarray(episode.states[:-1], np.float64)
            observed = np.array([observe(state, environment.ask_base(state)) for state in states], np.float32)
        if observed.shape[1] != self.about["observation"][0]:
            raise BadCheckpoint(f"{self.run}: its critics look at {self.about['observation'][0]} numbers, a state and "
                                f"a base action are {observed.shape[1]}")  # fmt: skip
        actions, _ = self.policy.predict(observed, deterministic=True)
        with torch.inference_mode():
            values = self.policy.critic(torch.from_numpy(observed), torch.from_numpy(np.asarray(actions)))
        return torch.cat(values, 1).min(1).values.numpy().astype(np.float64)
