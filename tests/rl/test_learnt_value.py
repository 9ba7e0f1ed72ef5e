"""What critics have learnt, drawn along recorded episodes."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium_robotics")

from mpr.core.checkpoints import BadCheckpoint
from rl.environments.kitchen.tasks import MICROWAVE
from rl.policies.residual import ResidualPolicy, StackedCritics
from rl.reward_bench import learnt
from tests.rl.test_reward_bench import toy_episode


def test_learnt_value_is_the_lower_critics_and_of_this_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = gymnasium.spaces.Box(-np.inf, np.inf, (71,), np.float32), gymnasium.spaces.Box(-1.0, 1.0, (9,), np.float32)
    torch.manual_seed(0)
    policy = ResidualPolicy(*spaces, lambda _: 0.0)
    about = {"env": "kitchen:microwave", "base": "zero", "base_weights": "", "residual_scale": 0.1, "ddim_steps": 10}
    about["observation"] = [71]
    monkeypatch.setattr(learnt, "refuse_unfinished", lambda *_: None)
    monkeypatch.setattr(learnt, "load_residual_policy", lambda _: (policy, about))
    episode = toy_episode(MICROWAVE, "opening", 1)
    found = learnt.LearntValue(Path("run"), "microwave").along(episode)
    assert isinstance(policy.critic, StackedCritics)
    with torch.inference_mode():
        state = torch.from_numpy(np.append(episode.states[3], np.zeros(9)).astype(np.float32))[None]
        both = [float(value) for value in policy.critic(state, torch.zeros(1, 9))]  # an actor that starts at zero
    assert both[0] != both[1] and found[3] == pytest.approx(min(both), abs=1e-5) and len(found) == len(episode)
    with pytest.raises(BadCheckpoint, match="practised kitchen:microwave, asked is kitchen:hinge"):
        learnt.LearntValue(Path("run"), "hinge")
    about["observation"] = [72]
    with pytest.raises(BadCheckpoint, match="its critics look at 72 numbers"):
        learnt.LearntValue(Path("run"), "microwave").along(episode)
