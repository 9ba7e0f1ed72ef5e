"""`mpr robot run`: a policy on the arm for N episodes, marked by the operator, each on disk before the next begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpr.episode import Episode, load_episode
from mpr.intervals import success_rate
from mpr.page import shown, write_page
from rl.base_policy import BasePolicy
from robot.base import EXPERT, base_policy
from robot.environment import STEP_LIMIT, FrankaEnv
from robot.film import save_film
from robot.guard import Event
from robot.recording import Recorder
from robot.session import session, told
from robot.station import Station, StationConfig, station
from robot.watchdog import Watchdog
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder

FREE = ("out", "episodes", "host", "films", "operator")  # may differ when a session goes on


@dataclass(frozen=True)
class RunConfig(StationConfig):
    """Run a policy on the arm: a trained one, or the simulated arm's expert."""

    policy: str = EXPERT  # expert (simulated arm), stay, or a run folder of `mpr bc`
    episodes: int = 10  # to keep; those that the operator wants redone are not
    step_limit: int = STEP_LIMIT  # steps after which time is up
    ddim_steps: int = 10  # of a trained policy's sampling
    device: str = "cpu"  # of a trained policy
    films: int = 20  # of so many episodes, the first ones, the page shows a film
    out: Path = Path("runs/robot")  # run folder

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("episodes", "step_limit", "ddim_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: 1 or more")


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr robot run`. Raises UserError."""
    config, dry_run = parse(RunConfig, argv, "mpr robot run")
    if dry_run:
        inputs = {} if config.policy in (EXPERT, "stay") else {"policy": Path(config.policy)}
        return print_plan(config, inputs, {"episodes": config.episodes, "limits": config.limits}, config.out)
    run = RunFolder(config.out, "robot run", as_dict(config), FREE)
    run.keep_metrics(lambda row: row["what"] == "event")
    recorder = Recorder(run.path / "episodes")
    with ExitStack() as stack:
        at = stack.enter_context(station(config))
        base = stack.enter_context(base_policy(config.policy, at, config.wall, config.ddim_steps, config.device))
        env = environment(config, at, base, run, config.step_limit)
        if config.wall:
            stack.enter_context(Watchdog(env.guard))
        for _ in session(env, recorder, config.episodes, config.seed):
            pass
    print("\n".join(report(config, run, recorder)))


def environment(config: StationConfig, at: Station, base: BasePolicy, run: RunFolder, step_limit: int) -> FrankaEnv:
    """The station as an environment; what its guard has to say is said to the operator, and logged."""

    def heard(event: Event) -> None:
        run.log(what="event", time=event.time, kind=event.kind, message=event.message, ask=event.ask)
        at.operator.say(f"{event.kind}: {event.message}")

    return FrankaEnv(
        at.arm,
        at.cameras,
        base,
        at.operator,
        clock=at.clock,
        limits=config.limits,
        rate_hz=config.rate_hz,
        step_limit=step_limit,
        task=config.task,
        told=heard,
    )


def report(config: RunConfig, run: RunFolder, recorder: Recorder) -> list[str]:
    """Write metrics.jsonl's episodes, films, page.html and summary.json; returns the page's table."""
    episodes = {folder.name: load_episode(folder) for folder in recorder.whole.values()}
    if not episodes:
        raise UserError(f"no episode in {recorder.root}: the operator quit before the first was over")
    films = [run.path / "films" / f"{name}.mp4" for name in list(episodes)[: config.films]]
    for film in films:
        if not film.exists():
            save_film(episodes[film.stem], film)
    successes = np.array([episode.success for episode in episodes.values()])
    events = [row for row in run.metrics() if row["what"] == "event"]
    for name, episode in episodes.items():
        run.log(what="episode", name=name, success=episode.success, steps=len(episode), **episode.about)
    rate = success_rate(successes)
    lines = [f"# {config.task} on {config.arm}, by {Path(config.policy).name}: {rate} of {len(episodes)} episodes", ""]
    lines += [*rows(episodes), "", *counted(events)]
    write_page(run.path / "page.html", "\n".join(lines) + "\n\n" + shown(*(f.relative_to(run.path) for f in films)))
    about = [episode.about for episode in episodes.values()]
    run.finish(
        {
            "episodes": len(episodes),
            "successes": int(successes.sum()),
            "steps": [len(episode) for episode in episodes.values()],
            "late_worst_s": max(one["late_s"]["worst"] for one in about),
            "overruns": sum(one["overruns"] for one in about),
            "events": dict(Counter(row["kind"] for row in events)),
        }
    )
    return lines


def rows(episodes: Mapping[str, Episode]) -> list[str]:
    """A table, an episode a row."""
    lines = ["| episode | end | seconds | late: median, worst | overruns | limits met |", "|---|---|---|---|---|---|"]
    for name, episode in episodes.items():
        about: Mapping[str, Any] = episode.about
        late = about["late_s"]
        met = ", ".join(f"{limit} {count}" for limit, count in about["met"].items()) or "none"
        lines.append(
            f"| {name.removeprefix('episode_')} | {told(episode)} | {episode.times[-1]:.1f} "
            f"| {abs(1e3 * late['median']):.1f}, {abs(1e3 * late['worst']):.1f} ms | {about['overruns']} | {met} |"
        )
    return lines


def counted(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What went wrong, by kind, with an example of each."""
    if not events:
        return ["No faults."]
    counts = Counter(row["kind"] for row in events)
    example = {row["kind"]: row["message"] for row in reversed(events)}
    return [f"- {kind}: {count}, as: {example[kind]}" for kind, count in counts.most_common()]
