"""What `mpr robot session` is asked for: the arm, the base policy, the reward, and the learner beside."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpr.core.config import Range, check_ranges, with_settings
from mpr.core.errors import UserError
from rl.environments.setting import DoorOptions, names
from rl.policies.actor import RESIDUAL_SCALE
from rl.residual.config import NO_DEMONSTRATIONS, FinetuneConfig
from rl.residual.learner_process import SCHEDULES
from robot.arms.registry import SIMULATED
from robot.practice.station import PracticeStationConfig
from robot.setting import ASTRAY, EXPERT, ROBOT_STEP_LIMIT, STAY
from robot.teleop.registry import DEVICES

MOTION = "motion"
LEARNER, POLICY = "learner", "policy"  # folders of the run: where it goes on, and what was learned in the end
SESSION_REWARDS = (MOTION, "none", "paper_sparse")
SESSION_FREE_KEYS = (
    "out",
    "episodes",
    "minutes",
    "host",
    "report",
    "operator",
    "teleop",
    "detector",
    "export",
)  # may differ when a session goes on
SESSION_PRESETS: dict[str, dict[str, Any]] = {
    "check": {"episodes": 2, "settings": "warmup_steps=50 utd=1"},
    # the paper's hour (its section VI, and github.com/MVerghese/FrankaControl)
    "paper": {"episodes": 100, "settings": "pretrain=10000 warmup_steps=1024 utd=4 n_steps=1"},
}
_TAKEN = (
    *("env", "env_options", "base", "demos", "num_demos", "reward", "predictor", "episodes", "residual_scale"),
    *("seed", "out", "checkpoint_every", "device", "ddim_steps", "view", "tracker", "motion_threshold_px", "compile"),
    *("total_steps", "evaluate_every", "evaluate_episodes", "representation", "goal_image", *names(DoorOptions)),
)


@dataclass(frozen=True)
class SessionConfig(PracticeStationConfig):
    """Let a residual policy practise on the arm for an hour: run, mark, reward, updates, next."""

    base: str = ASTRAY  # frozen: a run folder of `mpr bc`; stay; simulated: expert, or scripted_noisy, a poor expert
    demos: Path = NO_DEMONSTRATIONS  # demonstrations on this arm, in half of every batch; none: none
    num_demos: int = 0  # the first this many; 0: all
    reward: str = "none"  # motion, none (-1 a step until success) or paper_sparse
    predictor: Path | None = None  # run folder of `mpr train`, for reward motion
    camera: str = "world"  # that reward motion looks through
    # x0,y0,x1,y1 in pixels of its images around only the object, as it stands when an episode begins: for reward motion
    box: tuple[int, int, int, int] | None = None
    teleop: str = ""  # gamepad, spacemouse or keyboard, to take over with in mid-episode; "": nobody does
    detector: bool = False  # a second opinion on success, learned from your marks: its disagreement is shown
    residual_scale: float = RESIDUAL_SCALE  # how far a residual of 1 reaches
    schedule: str = ""  # of updates: fixed, decided by the seed; free, what there is time for; "": free in real time
    settings: str = ""  # of `mpr finetune`, for the learner: "utd=2 ent_coef=auto_0.1"
    episodes: int = 100  # to practise, at most
    minutes: float = 0.0  # after which no episode begins; 0: however long it takes
    step_limit: int = ROBOT_STEP_LIMIT  # steps after which time is up
    ddim_steps: int = 10  # of a trained base policy's sampling
    device: str = "cpu"  # of base policy and learner
    seed: int = 0  # of the run: weights, sampling, noise, and 1,000 episodes' seeds of its own
    report: Path | None = None  # run folder of a session: only write its page again
    export: bool = False  # beside the page, its episodes as a LeRobot data set, OUT/export/session
    out: Path = Path("runs/session")  # run folder

    def __post_init__(self) -> None:
        if self.reward not in SESSION_REWARDS:  # first: to refuse it nothing of a simulator is needed
            raise UserError(f"no reward '{self.reward}' of a session; there is {', '.join(SESSION_REWARDS)}")
        super().__post_init__()
        check_ranges(self, _RANGES)
        if self.reward == MOTION and self.predictor is None:
            raise UserError("reward 'motion' needs --predictor RUN, a run folder of `mpr train`")
        if self.reward == MOTION and self.box is None:
            raise UserError(
                f"reward 'motion' needs --box x0,y0,x1,y1 around the object in images of camera {self.camera}, as it "
                "stands when an episode begins"
            )
        if self.teleop:
            DEVICES.check(self.teleop)
            if not self.attended:
                raise UserError(
                    f"--teleop {self.teleop}: nobody sits here; beside the simulated arm say --operator keyboard"
                )
        if self.schedule and self.schedule not in SCHEDULES:
            raise UserError(f"no schedule '{self.schedule}'; there is {', '.join(SCHEDULES)}")
        if self.arm != SIMULATED and self.base in (EXPERT, ASTRAY):
            raise UserError(f"--base {self.base} goes with --arm simulated: give a run folder of `mpr bc`, or {STAY}")
        if not self.report:
            learner = self.learner()  # refuses wrong settings now
            learner.check_buffer(self.step_limit)
            if learner.normalise_inputs:
                raise UserError("--settings normalise_inputs=true: a session's learner is shown things as they are")
            if learner.potential:
                raise UserError("--settings shaping=potential: a session pays the signal as it is")

    @property
    def updates(self) -> str:
        """The schedule, chosen."""
        return self.schedule or ("free" if self.wall else "fixed")

    def learner(self) -> FinetuneConfig:
        """The learner, as `mpr finetune` would have it on this arm. Raises UserError naming what cannot be."""
        found = with_settings(FinetuneConfig, self.settings, "--settings", _TAKEN)
        kind, told = ("twin", ()) if self.arm == SIMULATED else ("arm", ("arm", "host", "world", "wrist"))
        other = [
            name
            for name in ("size", "rate_hz", "targets", "encoder")
            if getattr(self, name) != getattr(SessionConfig, name)
        ]
        options = " ".join(f"{name}={shlex.quote(str(getattr(self, name)))}" for name in (*told, *other))
        env = f"{kind}:{self.task}"
        same = {name: getattr(self, name) for name in ("demos", "num_demos", "predictor", "episodes", "residual_scale")}
        same |= {name: getattr(self, name) for name in ("device", "ddim_steps", "reward", "seed")}
        same |= {"out": self.out / LEARNER}
        mine = {"env": env, "env_options": options, "base": Path(self.base), "checkpoint_every": 1, "compile": "false"}
        return dataclasses.replace(found, **same, **mine).resolved()


_RANGES = {
    **dict.fromkeys(("episodes", "step_limit", "ddim_steps"), Range(1)),
    **dict.fromkeys(("num_demos", "minutes"), Range(0)),
    "residual_scale": Range(0, above=True),
}
