"""`mpr robot session`: an hour on the robot, in which a residual policy learns from its own episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mpr.core.config import parse_config, print_plan
from robot.commands.export import ExportConfig
from robot.learning.config import SESSION_PRESETS, SessionConfig


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot session`; --report: only its page again. Raises UserError."""
    config, dry_run = parse_config(SessionConfig, argv, "mpr robot session", SESSION_PRESETS)
    if config.report is not None:
        from robot.learning.report import write_report

        print("\n".join(write_report(config.report)))
        return _exported(config, config.report)
    if dry_run:
        learner = config.learner()
        inputs = {"demos": config.demos} if learner.demonstrated else {}
        inputs |= {"predictor": config.predictor} if config.predictor else {}
        inputs |= {"base": Path(config.base)} if Path(config.base).is_dir() else {}
        most = config.episodes * config.step_limit
        facts = {"episodes": config.episodes, "steps at most": most, "updates at most": round(learner.utd * most)}
        return print_plan(config, inputs, {**facts, "schedule": config.updates}, config.out)
    if config.export:
        import pyarrow  # noqa: F401  # now, not after the hour
    from robot.learning.session import learn_on_arm

    learn_on_arm(config)
    _exported(config, config.out)


def _exported(config: SessionConfig, run: Path) -> None:
    """The session's episodes as a LeRobot data set, where that was asked for."""
    if config.export:
        from robot.commands.export_compared import export

        run = run.resolve()  # however it was typed
        export(ExportConfig(episodes=run / "episodes", name="session", out=run / "export"))
