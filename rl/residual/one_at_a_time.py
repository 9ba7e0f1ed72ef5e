"""One environment as the learner's vector, whose episodes begin when they are asked for.

stable-baselines3's own vectors reset inside the very step that ends an episode: an operator would be asked to put
things back before that episode is stored, and after the last one as well.
"""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from rl.environments.practice import PracticeEnvironment


class OneAtATime(DummyVecEnv):
    """`over`: the episode has ended, and `reset` is to begin the next, as ResidualSAC does before it goes on.

    `beginning`: `reset` was called and has not returned: whatever it raised, nothing of that episode has happened.
    """

    def __init__(self, environment: PracticeEnvironment) -> None:
        super().__init__([lambda: Monitor(environment)])  # pyright: ignore[reportArgumentType]
        self._environment, self.over, self.beginning = environment, False, False

    def reset(self) -> VecEnvObs:
        self.beginning = True
        observation = super().reset()
        self.over = self.beginning = False
        return observation

    def step_wait(self) -> VecEnvStepReturn:
        """Observation [1, D], the last of an episode included; its info tells it again as `terminal_observation`."""
        observation, reward, terminated, truncated, info = self.envs[0].step(self.actions[0])
        self._environment.starts.practise()  # an environment of another package might not say so
        self.over = terminated or truncated
        info = {**info, "TimeLimit.truncated": truncated and not terminated}
        info |= {"terminal_observation": observation} if self.over else {}
        self._save_obs(0, observation)
        return self._obs_from_buf(), np.array([reward], np.float32), np.array([self.over]), [info]
