"""What `mpr finetune` is asked for: every setting of a run, its default and its range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mpr.core.config import Range, check_ranges
from mpr.core.device import check_device
from mpr.core.errors import UserError
from mpr.reward.agreement import BONUS, MOTION_THRESHOLD_PX
from mpr.reward.registry import REWARDS, reward_class
from mpr.reward.trackers import REWARD_TRACKERS
from rl.environments.asked import SettingConfig
from rl.environments.registry import kind_of
from rl.environments.setting import ZERO, RewardView, Setting
from rl.environments.starts import FIRST_SEED, SELECTION
from rl.policies.actor import INITS, LOG_STD, LOG_STD_MAX, LOG_STD_MIN, RESIDUAL_SCALE

NO_DEMONSTRATIONS = Path("none")  # in their place
AUTO = "auto"
WORTH_COMPILING = 20_000  # updates: fewer are done before the compiler is
PRETRAIN = 10_000
WARMUP_STEPS, RANDOM_STEPS = 300, 5_000  # before the first update: with something to begin from, without
SEEDS_A_RUN = 1_000  # so runs of different seeds share no episode
MOST_RUNS = (SELECTION - FIRST_SEED) // SEEDS_A_RUN


def check_reward(name: str, env: str, reward_view: RewardView) -> None:
    """Check that there is a reward of that name, and that the environment can give it.

    Raises UserError for one that does not exist, that the environment cannot give, or that lacks its predictor.
    """
    reward = reward_class(name)
    if not kind_of(env).gives(env, reward):
        there = [other for other in REWARDS.ours if kind_of(env).gives(env, reward_class(other))]
        raise UserError(f"no reward '{name}' of {env}; there is {', '.join(there)}")
    if reward.predicts and reward_view.predictor is None:
        raise UserError(f"reward '{name}' needs --predictor RUN, a run folder of `mpr train`")
    REWARD_TRACKERS.check(reward_view.tracker)


@dataclass(frozen=True)
class FinetuneConfig(SettingConfig):
    """Train a residual policy on a frozen base policy, by SAC.

    The defaults are the paper's for its robot, but for an actor that starts at zero, a warm-up that is the base
    policy's own, returns of five steps, and an average of the actor to evaluate.
    """

    demos: Path = Path("runs/demos")  # demonstrations, from `mpr demos`, in every batch; none: none
    num_demos: int = 0  # practise with the first this many, by seed (as many as the base policy learned from); 0: all
    out: Path = Path("runs/finetune")  # run folder
    reward: str = "dense"  # motion, none, any_motion, dense or sparse; environment: the environment's own
    predictor: Path | None = None  # run folder of `mpr train`: for reward motion
    tracker: str = "exact"  # of rewards motion and any_motion: exact, lucas_kanade, cotracker3_offline or _online
    view: str = "front"  # camera that these two look through
    # pixels of 256: for these two, a point tracked to move less counts 0
    motion_threshold_px: float = MOTION_THRESHOLD_PX
    bonus: float = BONUS  # added to the reward of the step that succeeds; not with reward environment
    episodes: int = 100  # to practise
    # share of half the action range: executed = base + residual_scale * range/2 * residual
    residual_scale: float = RESIDUAL_SCALE
    seed: int = 0  # weights, sampling, and 1,000 episode seeds of its own
    pretrain: int = PRETRAIN  # critic updates on demonstrations, where there are any, before the first episode
    utd: float = 4.0  # updates per environment step, made after each episode
    # environment steps before the first update; null: 300, and 5,000 where --base zero and --demos none show nothing
    warmup_steps: int | None = None
    # until then residuals are U[-warmup, warmup]; null: 0, the base policy alone, and 1 where there is none
    warmup: float | None = None
    batch: int = 64  # transitions an update
    demo_fraction: float = 0.5  # of a batch, from demonstrations, rounded down; 0: none, as --demos none
    layer_norm: bool = True  # in the critics
    lr: float = 1e-4  # of actor, critics and entropy coefficient
    gamma: float = 0.99  # discount a step
    n_steps: int = 5  # rewards summed before the target critics are asked about the rest (the paper: 1)
    tau: float = 0.005  # target critics follow by this share an update
    # the actor evaluated moves to the one practising by this share an update; 1: it is that one
    actor_ema: float = 2e-4
    ent_coef: str = "0.05"  # entropy coefficient: a number, or auto
    actor_init: str = "zero"  # zero, orthogonal or default
    log_std: float = LOG_STD  # only for actor_init zero: log standard deviation to begin with
    buffer: int = 20_000  # transitions kept, at least those of an episode: the kitchen's 150, an arm's 200
    checkpoint_every: int = 10  # episodes
    threads: int = 1  # CPU threads; another number gives other last bits
    # updates by a C++ compiler, a third faster, other last bits: true, false; auto: in a run of 20,000 or more, where
    # there is one
    compile: str = AUTO

    def __post_init__(self) -> None:
        self.kind.check(self.asked)
        check_reward(self.reward, self.env, self.reward_view)
        check_ranges(self, _RANGES)
        if self.kind.sizes is not None:
            self.check_buffer(self.kind.sizes[2])
        if self.reward == "environment" and (self.demonstrated or self.bonus != BONUS):
            raise UserError(
                "--reward environment is taken as it is: no demonstration holds it and nothing is added: "
                "--demos none, and no --bonus"
            )
        if self.ent_coef != AUTO and _number(self.ent_coef) not in Range(0):
            raise UserError(f"--ent_coef {self.ent_coef}: it is auto or a number, at least 0")
        if not self.demonstrated and self.pretrain not in (0, PRETRAIN):
            raise UserError(f"--pretrain {self.pretrain}: --demos none leaves no demonstrations to pretrain on")
        if self.demonstrated and not 0 < int(self.batch * self.demo_fraction) < self.batch:
            asked = f"--batch {self.batch} with --demo_fraction {self.demo_fraction:g}"
            raise UserError(f"{asked} leaves none for demonstrations, or for practice: a larger batch, or --demos none")
        if self.actor_init not in INITS:
            raise UserError(f"--actor_init {self.actor_init}: there is {', '.join(INITS)}")
        if self.actor_init != "zero" and self.log_std != LOG_STD:
            raise UserError(f"--log_std {self.log_std} is for --actor_init zero, not {self.actor_init}")
        if self.compile not in (AUTO, "true", "false"):
            raise UserError(f"--compile {self.compile}: it is {AUTO}, true or false")
        check_device(self.device)
        if not 0 <= self.seed < MOST_RUNS or self.episodes > SEEDS_A_RUN:
            raise UserError(
                f"seed lies in 0 .. {MOST_RUNS - 1}, episodes in 1 .. {SEEDS_A_RUN}: each run has that many seeds of "
                "its own, below those of selection and evaluation"
            )

    def resolved(self) -> Self:
        """With numbers for what is left to the rest: a run folder holds what was done."""
        return replace(self, warmup_steps=self.learning_starts, warmup=self.warmup_range)

    def check_buffer(self, steps: int) -> None:
        """Raises UserError where an episode of so many steps has no room: its rewards come when it is there whole."""
        if self.buffer < steps:
            raise UserError(
                f"--buffer {self.buffer}: an episode of --env {self.env} has up to {steps} steps, give as many"
            )

    @property
    def asked(self) -> Setting:
        return replace(super().asked, residual_scale=self.residual_scale)

    @property
    def demonstrated(self) -> bool:
        """Whether a part of every batch comes from demonstrations."""
        return self.demos != NO_DEMONSTRATIONS and self.demo_fraction > 0

    @property
    def learning_starts(self) -> int:
        """Environment steps before the first update.

        Where neither a base policy nor demonstrations show anything, as many random ones as plain SAC begins with
        (vwxyzjn/cleanrl, sac_continuous_action.py: 5,000).
        """
        if self.warmup_steps is not None:
            return self.warmup_steps
        return WARMUP_STEPS if self.base != ZERO or self.demonstrated else RANDOM_STEPS

    @property
    def warmup_range(self) -> float:
        """Until then residuals are uniform in ± this: 0 leaves the base policy to itself, where there is one."""
        return self.warmup if self.warmup is not None else float(self.base == ZERO)

    @property
    def critic_lessons(self) -> int:
        """Updates of the critics before the first episode."""
        return self.pretrain if self.demonstrated else 0

    @property
    def reward_view(self) -> RewardView:
        return RewardView(self.predictor, self.tracker, self.view, self.motion_threshold_px)

    @property
    def sees(self) -> bool:
        """Whether the reward tracks what a camera saw: then it needs recordings."""
        return reward_class(self.reward).sees

    @property
    def returns(self) -> dict[str, Any]:
        return {"n_steps": self.n_steps, "gamma": self.gamma}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


_RANGES: dict[str, Range] = {
    **dict.fromkeys(("episodes", "batch", "buffer", "checkpoint_every", "threads", "n_steps", "ddim_steps"), Range(1)),
    **dict.fromkeys(("num_demos", "pretrain", "warmup_steps", "utd", "bonus", "motion_threshold_px"), Range(0)),
    **dict.fromkeys(("residual_scale", "lr"), Range(0, above=True)),
    **dict.fromkeys(("gamma", "warmup"), Range(0, 1)),
    **dict.fromkeys(("tau", "actor_ema"), Range(0, 1, above=True)),
    "demo_fraction": Range(0, 1),
    "log_std": Range(LOG_STD_MIN, LOG_STD_MAX),  # where stable-baselines3 clips it
}
FINETUNE_FREE_KEYS = ("out", "checkpoint_every")  # may differ when a run is resumed


def buffer_bytes(rows: int, observation: int, action: int) -> int:
    """Bytes of a float32 buffer: two observations, an action, reward, done and time-out a row."""
    return 4 * rows * (2 * observation + action + 3)
