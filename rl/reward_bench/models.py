"""Which rewards a run scores, null models among them, and what each is made of.

A row of the report is a reward (`vip`), or a null model of that reward alone, named after both (`vip:pixels`): those in
`RewardModel.nulls`, and of a reward that compares `other_goal`, where another camera saw the goal, from another start.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from mpr.reward.model import Given, RewardModel, Track
from mpr.reward.registry import REWARDS, reward_class
from rl.environments.kitchen.camera import view_names
from rl.environments.kitchen.kind import KitchenKind
from rl.environments.kitchen.tasks import find_task
from rl.reward_bench.config import NULL_MODELS, PICTURED, RewardBenchConfig

OTHER_GOAL = "other_goal"


def class_of(row: str) -> type[RewardModel]:
    """The class of the reward that a row is of, or is a null model of."""
    return reward_class(row.partition(":")[0])


def is_null(row: str) -> bool:
    """Whether a row is a null model, of all rewards or of one."""
    return row in NULL_MODELS or ":" in row


def nulls_of(reward: str) -> list[str]:
    """The rows of a reward's own null models."""
    kind = class_of(reward)
    return [f"{reward}:{null}" for null in (*kind.nulls, *([OTHER_GOAL] if kind.compares else []))]


def chosen_rewards(config: RewardBenchConfig) -> tuple[list[str], dict[str, str]]:
    """The rows to score, null models among them; and of rewards left out, why.

    Raises UserError where one that was asked for by name is no reward.
    """
    wanted = dict.fromkeys([*(config.rewards or REWARDS.names()), PICTURED, *NULL_MODELS])
    trained = representations_of(config)
    taken, left_out = [], {}
    for name in wanted:
        kind = reward_class(name)
        if not KitchenKind().gives("kitchen", kind):
            left_out[name] = f"it is for --env {kind.only}"
        elif kind.predicts and config.predictor is None:
            left_out[name] = "it needs --predictor RUN, a run folder of `mpr train`"
        elif kind.objective and kind.objective not in trained:
            left_out[name] = f"it needs --representations RUN, one of `mpr pretrain --objective {kind.objective}`"
        else:
            taken += [name, *nulls_of(name)]
    return taken, left_out


def representations_of(config: RewardBenchConfig) -> dict[str, Path]:
    """The run folders of `mpr pretrain` by their objective.

    Raises BadCheckpoint for one that is none or is still in training, UserError for two of one objective.
    """
    from mpr.core.checkpoints import refuse_unfinished, wanted_checkpoint
    from mpr.representations.checkpoint import REPRESENTATION_CHECKPOINT

    found: dict[str, Path] = {}
    for run in config.representations:
        objective = wanted_checkpoint(run, REPRESENTATION_CHECKPOINT)[1]["objective"]
        refuse_unfinished(run, "mpr pretrain")
        if objective in found:
            raise UserError(
                f"--representations: {found[objective]} and {run} are both of objective {objective}: one each"
            )
        found[objective] = run
    return found


def made_reward(
    row: str, config: RewardBenchConfig, task: str, view: str, track: Track | None, mirrored: bool = False
) -> RewardModel:
    """The reward or null model of a row, for episodes of a task that are seen from a view.

    `mirrored`: they are seen left to right, and so is the goal. Raises UserError for what does not serve here.
    """
    kind, null = class_of(row), row.partition(":")[2]
    goal = goal_of(task, view, null == OTHER_GOAL) if kind.compares else None
    if goal is not None and mirrored:
        goal = np.ascontiguousarray(goal[:, ::-1])
    trained = representations_of(config).get(kind.objective)
    given = Given(task, config.predictor, track, representation=trained, goal=goal)
    reward = kind.of(given)
    return reward.null_model(null) if null in kind.nulls else reward


def goal_of(task: str, view: str, other: bool = False) -> NDArray[np.uint8]:
    """The kitchen's own picture of a task done, [256, 256, 3], through a view; `other`: the next view, another start.

    Done is where the scripted openings end, which at the slide cabinet is further than where FrankaKitchen-v1's do.
    """
    from rl.environments.kitchen.goal_image import GOAL_START, kitchen_goal_image

    what = find_task(task)
    if not other:
        return kitchen_goal_image(what, what.opened, view)
    return kitchen_goal_image(what, what.opened, other_view(view), GOAL_START + 1)


def other_view(view: str) -> str:
    """The one after a view in the order of those to develop with: no held-out camera is looked through for this."""
    views = view_names(held_out=False)
    return views[(views.index(view) + 1) % len(views) if view in views else 0]
