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
from rl.environments.kind import is_trained
from rl.environments.registry import kind_of
from rl.environments.setting import DOOR_RANGES, ZERO, RewardView, Setting
from rl.environments.starts import FIRST_SEED, SELECTION
from rl.policies.actor import INITS, LOG_STD, LOG_STD_MAX, LOG_STD_MIN, RESIDUAL_SCALE
from rl.residual.reward_form import RewardForm, Temperature, check_finishing

SHAPINGS = ("sum", "potential")
DEMO_ACTIONS = ("label", "executed")
NO_DEMONSTRATIONS = Path("none")  # in their place
AUTO = "auto"
WORTH_COMPILING = 20_000  # updates: fewer are done before the compiler is
PRETRAIN = 10_000
WARMUP_STEPS, RANDOM_STEPS = 300, 5_000  # before the first update: with something to begin from, without
SEEDS_A_RUN = 1_000  # so runs of different seeds share no episode
MOST_RUNS = (SELECTION - FIRST_SEED) // SEEDS_A_RUN


def check_reward(name: str, env: str, reward_view: RewardView) -> None:
    """Check that there is a reward of that name, and that the environment can give it.

    Raises UserError for one that does not exist, that the environment cannot give, or that lacks its predictor or
    representation.
    """
    reward = reward_class(name)
    if not kind_of(env).gives(env, reward):
        there = [other for other in REWARDS.ours if kind_of(env).gives(env, reward_class(other))]
        raise UserError(f"no reward '{name}' of {env}; there is {', '.join(there)}")
    if reward.predicts and reward_view.predictor is None:
        raise UserError(f"reward '{name}' needs --predictor RUN, a run folder of `mpr train`")
    if reward.objective and reward_view.representation is None:
        run = f"a run folder of `mpr pretrain --objective {reward.objective}`"
        raise UserError(f"reward '{name}' needs --representation RUN, {run}")
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
    # motion, none, any_motion, wrong_direction, mean_motion, vip, vip_difference, time_rewarder, dense or paper_sparse;
    # environment: the environment's own
    reward: str = "dense"
    predictor: Path | None = None  # run folder of `mpr train`: for rewards motion and mean_motion
    representation: Path | None = None  # run folder of `mpr pretrain`: for rewards vip, vip_difference, time_rewarder
    # image file that vip and vip_difference compare with, 256 x 256 as episodes are seen; null: the kitchen's own
    goal_image: Path | None = None
    tracker: str = "exact"  # of rewards that track: exact, lucas_kanade, cotracker3_offline or _online
    view: str = "front"  # camera that these look through, and those of --representation
    # pixels of 256: for these, a point tracked to move less counts 0
    motion_threshold_px: float = MOTION_THRESHOLD_PX
    bonus: float = BONUS  # added to the reward of the step that succeeds; not with reward environment
    signal_weight: float = 1.0  # a step's reward is -1 + this * what the reward says of it (0 to 1)
    # in its place: as much as pays demonstrations this share of the time that they take, on average
    signal_share: float | None = None
    # sum: the signal is paid; potential: what it adds to a potential, given back at the end, which only critics see
    shaping: str = "sum"
    episodes: int = 100  # to practise, at most
    # steps of the environment: the episode in which so many are done is the last; null: --episodes alone
    total_steps: int | None = None
    # steps of the environment after which the policy is evaluated each time, without exploration; 0: never
    evaluate_every: int = 0
    evaluate_episodes: int = 20  # that it plays each time, from start 500,000 on
    # share of half the action range: executed = base + residual_scale * range/2 * residual
    residual_scale: float = RESIDUAL_SCALE
    seed: int = 0  # weights, sampling, and 1,000 episode seeds of its own, or as many thousands as episodes fill
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
    ent_coef: str = "0.05"  # entropy coefficient: a number; auto: learned, from 1 on; auto_0.1: from 0.1 on
    ent_lr: float | None = None  # of a coefficient that is learned; null: that of the networks
    target_entropy: float = -1.0  # that a learned coefficient aims at, for each number of an action; RLPD: -0.5
    # whether critics count entropy. Once for --n_steps rewards: per step they count as with ent_coef / n_steps
    backup_entropy: bool = True
    # updates of critics alone after --warmup_steps, before the actor moves; until then residuals are the warm-up's
    critic_warmup: int = 0
    normalise_inputs: bool = False  # of actor and critics, by the statistics that the base policy was trained with
    # of a demonstration's step, in the buffer: label, the expert's without noise; executed, what led to the next state
    demo_action: str = "label"
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
        if (steps := self.kind.step_limit(self.asked)) is not None:
            self.check_buffer(steps)
        self._check_entropy()
        self._check_scale()
        self._check_learner()
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
        most = (SELECTION - FIRST_SEED) // self.starts_a_run
        if not 0 <= self.seed < most:
            raise UserError(
                f"--seed {self.seed} with {self.episodes} episodes: it lies in 0 .. {most - 1}, since each run has "
                f"{self.starts_a_run:,} starts of its own, below those of selection and evaluation"
            )
        if self.evaluate_every and not self.kind.opens_again:
            raise UserError(
                f"--evaluate_every: --env {self.env} cannot be opened beside its own practice: leave it out"
            )

    def _check_entropy(self) -> None:
        if self.starting_ent_coef not in Range(0, above=self.learns_ent_coef):
            raise UserError(f"--ent_coef {self.ent_coef}: it is auto, auto_X from X above 0, or a number, at least 0")
        if not self.learns_ent_coef and (self.ent_lr is not None or self.target_entropy != -1):
            raise UserError(f"--ent_lr and --target_entropy are for --ent_coef auto, not {self.ent_coef}")

    def _check_learner(self) -> None:
        if self.demo_action not in DEMO_ACTIONS:
            raise UserError(f"--demo_action {self.demo_action}: there is {', '.join(DEMO_ACTIONS)}")
        if self.demo_action != "label" and not self.demonstrated:
            raise UserError(f"--demo_action {self.demo_action}: this run has no demonstrations")
        if self.normalise_inputs and not is_trained(self.base, self.kind):
            raise UserError(f"--normalise_inputs takes the statistics of a base policy of `mpr bc`: not of {self.base}")

    def _check_scale(self) -> None:
        reward, weighed = reward_class(self.reward), self.signal_weight != 1 or self.signal_share is not None
        if self.reward == "environment" and (self.demonstrated or self.bonus != BONUS):
            raise UserError(
                "--reward environment is taken as it is: no demonstration holds it and nothing is added: "
                "--demos none, and no --bonus"
            )
        if weighed and (reward.constant or reward.whole):
            raise UserError(f"--signal_weight and --signal_share: reward {self.reward} has no signal to weigh")
        if self.shaping not in SHAPINGS:
            raise UserError(f"--shaping {self.shaping}: there is {', '.join(SHAPINGS)}")
        if self.potential and (reward.constant or reward.whole):
            raise UserError(f"--shaping potential: reward {self.reward} has no signal to make a potential of")
        if self.signal_share is not None and self.signal_weight != 1:
            raise UserError("--signal_share makes a weight: give it or --signal_weight, not both")
        unknown = self.signal_weight > 1 and not self.potential
        if not self.demonstrated and (self.signal_share is not None or unknown):
            raise UserError(
                "--signal_share, and a --signal_weight above 1, take demonstrations, which tell how much signal there "
                "is to be had; this run has none"
            )
        if self.kind.sizes is not None and self.scaled:
            check_finishing(self.reward_form, self.temperature(self.kind.sizes[1]))

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
    def starts_a_run(self) -> int:
        """Training's starts that a run of one seed has for itself: whole thousands, as many as its episodes fill."""
        return SEEDS_A_RUN * -(-self.episodes // SEEDS_A_RUN)

    def most_steps(self, steps: int) -> int:
        """The most environment steps of a run whose episodes have at most so many."""
        most = self.episodes * steps
        return most if self.total_steps is None else min(most, self.total_steps + steps)

    @property
    def first_start(self) -> int:
        """The start of its first episode."""
        return FIRST_SEED + self.starts_a_run * self.seed

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
    def scaled(self) -> bool:
        """Whether the reward is on the one scale of all: the environment's own and the paper's 1 and 0 are not."""
        return not (reward_class(self.reward).whole or self.reward == "paper_sparse")

    @property
    def reward_form(self) -> RewardForm:
        """As far as it is known without demonstrations: `signal_share` is a weight once they are looked at."""
        return RewardForm(self.bonus, self.signal_weight, self.potential, self.gamma)

    @property
    def potential(self) -> bool:
        return self.shaping == "potential"

    def temperature(self, actions: int) -> Temperature:
        """What a learner is paid for acting at random to begin with, by so many numbers an action."""
        return Temperature(self.starting_ent_coef, self.gamma, self.n_steps, actions, self.backup_entropy)

    @property
    def learns_ent_coef(self) -> bool:
        return self.ent_coef.startswith("auto")

    @property
    def starting_ent_coef(self) -> float:
        """NaN for a text that means none."""
        return 1.0 if self.ent_coef == "auto" else _number(self.ent_coef.removeprefix("auto_"))

    @property
    def reward_view(self) -> RewardView:
        seen = (self.predictor, self.tracker, self.view, self.motion_threshold_px)
        return RewardView(*seen, self.representation, self.goal_image)

    @property
    def sees(self) -> bool:
        """Whether the reward tracks what a camera saw: then it needs recordings."""
        return reward_class(self.reward).sees

    @property
    def returns(self) -> dict[str, Any]:
        return {"n_steps": self.n_steps, "gamma": self.gamma, "potential": self.potential}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


_RANGES: dict[str, Range] = {
    **dict.fromkeys(("total_steps", "evaluate_episodes"), Range(1)),
    **dict.fromkeys(("episodes", "batch", "buffer", "checkpoint_every", "threads", "n_steps", "ddim_steps"), Range(1)),
    **dict.fromkeys(
        (
            "num_demos",
            "evaluate_every",
            "pretrain",
            "warmup_steps",
            "critic_warmup",
            "utd",
            "bonus",
            "motion_threshold_px",
            "signal_weight",
        ),
        Range(0),
    ),
    **dict.fromkeys(("residual_scale", "lr", "ent_lr", "signal_share"), Range(0, above=True)),
    **dict.fromkeys(("gamma", "warmup"), Range(0, 1)),
    **dict.fromkeys(("tau", "actor_ema"), Range(0, 1, above=True)),
    **DOOR_RANGES,
    "demo_fraction": Range(0, 1),
    "log_std": Range(LOG_STD_MIN, LOG_STD_MAX),  # where stable-baselines3 clips it
}
# What is measured against it: the learner of the paper, whose parts have options of their own beside it.
FINETUNE_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        **{"signal_weight": 1.0, "shaping": "sum", "ent_coef": "0.05", "backup_entropy": True, "critic_warmup": 0},
        **{"normalise_inputs": False, "demo_action": "label"},
    },
}
FINETUNE_FREE_KEYS = ("out", "checkpoint_every")  # may differ when a run is resumed


def buffer_bytes(rows: int, observation: int, action: int) -> int:
    """Bytes of a float32 buffer: two observations, an action, reward, done and time-out a row."""
    return 4 * rows * (2 * observation + action + 3)
