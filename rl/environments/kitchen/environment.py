"""One task in Franka Kitchen: randomised start, the handle in the state, an end at the first success or at 150 steps.

Wraps gymnasium_robotics' KitchenEnv and mends what trips learning code there: the goal-dict observation lacks where
the kitchen stands, the start never varies, and a state written from outside is undone by the controller's next step.
Images are not made here: an episode is recorded as joint positions (`mpr.core.data.scene`) and rendered when wanted.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from rl.environments.kitchen.opening import beyond_shown, stock_goal
from rl.environments.kitchen.scene import move_base
from rl.environments.kitchen.setting import KITCHEN_STEP_LIMIT
from rl.environments.kitchen.start_options import AJAR, SHUT, START_OPTIONS, StartOption
from rl.environments.kitchen.tasks import ARM, END_EFFECTOR, Task, find_task
from rl.environments.starts import OwnStarts, Starts

with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")  # importing it warns of environments that we do not use
    from gymnasium_robotics.envs.franka_kitchen import KitchenEnv

BASE_OFFSET = 0.08  # metres: the robot stands U[0, this] further right and nearer; the stock place is the edge of reach
ARM_SPREAD = 0.1  # radians: the arm's joints start this much to either side of the stock pose


class KitchenEnvironment(gymnasium.Env[NDArray[np.float64], NDArray[np.float64]], OwnStarts):
    """One task in Franka Kitchen, whose observation also tells where the handle is.

    Observation [62]: KitchenEnv's 59, then handle minus gripper (x, y, z metres). Action [9] in [-1, 1]: joint
    velocities of 7 arm joints and 2 fingers, 2 rad/s and 2 m/s a unit, at 12.5 Hz.

    Reward 1 on success, else 0. Success terminates; `step_limit` truncates; both keep the final frame (no automatic
    reset). `threshold` overrides the stock success by a travel of the task's joint; `terminate=False` lets an episode
    run on past success (closing and jiggling do). `info` holds `seed`, `success`, `travel`, `furthest_travel` (since
    reset) and `opened`: whether the travel reaches what the task calls open, 25 cm for the slide cabinet where the
    stock threshold is 7. With `shown`, the travel at which demonstrations end, also `beyond_shown`: how much of the way
    from there to the goal the episode came at its furthest. `trajectory` holds qpos of every frame since reset, the
    first included: `recording.record_kitchen` makes a recording of it. `start`: a name of `start_options`; `ajar` is
    short for that one. `role`, `instance`: which starts unseeded resets play (rl.environments.starts).
    """

    metadata = {"render_modes": []}  # noqa: RUF012  gymnasium's own declaration

    def __init__(
        self,
        task: str | Task,
        *,
        base_offset: float = BASE_OFFSET,
        arm_spread: float = ARM_SPREAD,
        ajar: bool = False,
        start: str = "",
        threshold: float | None = None,
        shown: float | None = None,
        terminate: bool = True,
        step_limit: int = KITCHEN_STEP_LIMIT,
        robot_noise_ratio: float = 0.01,
        object_noise_ratio: float = 0.0005,
        role: str = "training",
        instance: int | None = None,
    ) -> None:
        self.task = task if isinstance(task, Task) else find_task(task)
        if step_limit < 1:
            raise UserError(f"step_limit {step_limit}: an episode has at least 1 step")
        self.base_range, self.arm_spread = base_offset, arm_spread
        self.arrange: StartOption = START_OPTIONS.load(start or (AJAR if ajar else SHUT))
        self.threshold, self.terminate, self.step_limit = threshold, terminate, step_limit
        self.shown, self._furthest = shown, 0.0
        self.kitchen = KitchenEnv(
            tasks_to_complete=[self.task.stock_name],
            terminate_on_tasks_completed=False,
            remove_task_when_completed=False,
            object_noise_ratio=object_noise_ratio,
            robot_noise_ratio=robot_noise_ratio,
        )
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (9,), np.float64)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (62,), np.float64)
        self._handle = self.model.site(self.task.handle).id
        self._gripper = self.model.site(END_EFFECTOR).id
        self.starts = Starts(role, instance)
        self.base_offset = np.zeros(2)  # of the current episode, metres
        self.trajectory: list[NDArray[np.float64]] = []

    @property
    def model(self) -> Any:
        """Its mujoco.MjModel."""
        return self.kitchen.model

    @property
    def data(self) -> Any:
        """Its mujoco.MjData."""
        return self.kitchen.data

    def __getstate__(self) -> dict[str, Any]:
        """A copy stands before its first reset: KitchenEnv makes its simulation anew, so no episode goes on in it."""
        return {**self.__dict__, "trajectory": []}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start `seed`, else the next one: robot base, arm pose and, if asked, how things stand.

        Returns the observation [62] and its info.
        """
        super().reset(seed=self.starts.begin(seed))
        self.base_offset = self.np_random.uniform(0.0, self.base_range, 2)
        move_base(self.model, self.base_offset.tolist())
        self.kitchen.reset(seed=int(self.np_random.integers(2**31)))
        qpos = self.data.qpos.copy()
        low, high = self.model.jnt_range[ARM].T
        qpos[ARM] = np.clip(qpos[ARM] + self.np_random.uniform(-self.arm_spread, self.arm_spread, 7), low, high)
        self.arrange(self.task, qpos, self.np_random)
        observation = self.write_qpos(qpos)
        self.trajectory, self._furthest = [self.data.qpos.copy()], self.travel
        return observation, self._info()

    def write_qpos(self, qpos: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put the kitchen in the state `qpos` [nq], at rest, and return the observation [62].

        The controller steers from its own last reading of the joints, not from the simulation: unless that reading is
        refreshed too, the next step undoes the state.
        """
        self.kitchen.robot_env.set_state(qpos, np.zeros(self.model.nv))
        return self._observe()

    def _observe(self) -> NDArray[np.float64]:
        robot = self.kitchen.robot_env._get_obs()  # also refreshes the controller's stored reading
        return np.concatenate([self.kitchen._get_obs(robot)["observation"], self.handle - self.gripper])

    def step(self, action: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Take one control step of 0.08 s by an action [9]: observation [62], reward, terminated, truncated, info.

        Raises ValueError for an action that is not 9 finite numbers: MuJoCo would put the kitchen back to its start and
        go on.
        """
        action = np.asarray(action)
        if action.shape != (9,) or not np.isfinite(action).all():
            raise ValueError(f"a kitchen action is 9 finite numbers, got shape {action.shape}: {action}")
        if not self.trajectory:
            raise gymnasium.error.ResetNeeded("the kitchen was not reset yet: call reset() before step()")
        self.starts.practise()
        seen = self.kitchen.step(action)[0]
        observation = np.concatenate([seen["observation"], self.handle - self.gripper])
        self.trajectory.append(self.data.qpos.copy())
        self._furthest = max(self._furthest, self.travel)
        success = self.success
        terminated = success and self.terminate
        truncated = not terminated and len(self.trajectory) - 1 >= self.step_limit
        return observation, float(success), terminated, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        told = {"success": self.success, "travel": self.travel, "opened": self.travel >= self.task.opened}
        told |= {"furthest_travel": self._furthest}
        if self.shown is not None:
            told["beyond_shown"] = beyond_shown(self._furthest, self.shown, self.goal)
        return {**told, "seed": self.starts.start}

    @property
    def goal(self) -> float:
        """Travel at which an episode succeeds."""
        return stock_goal(self.task) if self.threshold is None else self.threshold

    @property
    def handle(self) -> NDArray[np.float64]:
        """Handle position [3], metres, world."""
        return self.data.site_xpos[self._handle].copy()

    @property
    def gripper(self) -> NDArray[np.float64]:
        """Position [3] between the fingers, metres, world."""
        return self.data.site_xpos[self._gripper].copy()

    @property
    def travel(self) -> float:
        """How far the object is open: radians or metres."""
        return float(self.task.travel(self.data.qpos))

    @property
    def success(self) -> bool:
        if self.threshold is None:
            return self.task.solved(self.data.qpos)
        return self.travel >= self.threshold

    def close(self) -> None:
        self.starts.close()
        self.kitchen.close()
