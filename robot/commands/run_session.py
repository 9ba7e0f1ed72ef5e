"""The session of `mpr robot run`: episodes, films, page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mpr.core.config import as_dict
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.core.report.intervals import success_rate
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import RunFolder
from robot.commands.run import RunConfig
from robot.policies.named import base_policy
from robot.recording.film import save_film
from robot.recording.recorded import episode_figures, load_recorded
from robot.recording.recorder import Recorder
from robot.session import episode_summary, open_recorder, session, session_environment, watch_session
from robot.station import enter_station, named_station

_FREE = ("out", "episodes", "host", "films", "operator")  # may differ when a session goes on


def run_policy(config: RunConfig) -> None:
    """Run it, from wherever its folder stands. Raises UserError."""
    with ExitStack() as stack:
        at = stack.enter_context(named_station(config))
        base = stack.enter_context(base_policy(config.policy, at, config.wall, config.ddim_steps, config.device))
        stack.enter_context(enter_station(at))
        run = RunFolder(config.out, "robot run", as_dict(config), _FREE)  # last: what is refused leaves none
        run.keep_metrics(lambda row: row["what"] == "event")
        recorder = open_recorder(run)
        at.operator.say(at.operator.about)
        env = session_environment(config, at, base, run, config.step_limit, policy=config.policy)
        stack.enter_context(watch_session(env, config.wall))
        for _ in session(env, recorder, config.episodes, config.seed):
            pass
    print("\n".join(_report(config, run, recorder)))


def _report(config: RunConfig, run: RunFolder, recorder: Recorder) -> list[str]:
    """Write metrics.jsonl's episodes, films, page.html and summary.json; returns the page's table."""
    episodes = {folder.name: load_recorded(folder) for folder in recorder.whole.values()}
    if not episodes:
        raise UserError(f"no episode in {recorder.root}: the operator quit before the first was over")
    films = [run.path / "films" / f"{name}.mp4" for name in list(episodes)[: config.films]]
    for film in films:
        if not film.exists():
            save_film(episodes[film.stem], film)
    tried = [episode for episode in episodes.values() if not episode.about.get("fault")]
    successes = np.array([episode.success for episode in tried])
    events = [row for row in run.metrics() if row["what"] == "event"]
    for name, episode in episodes.items():
        about = {**episode.about, **episode_figures(episode), "task": episode.task, "seed": episode.seed}
        run.log(what="episode", name=name, success=episode.success, steps=len(episode), **about)
    rate = str(success_rate(successes)) if tried else "–"
    lines = [f"# {config.task} on {config.arm}, by {Path(config.policy).name}: {rate} of {len(tried)} episodes", ""]
    if len(tried) < len(episodes):
        lines += [f"{len(episodes) - len(tried)} more were ended by a fault, and say nothing of the policy.", ""]
    lines += [*episode_rows(episodes), "", *_counted(events)]
    lines += [f"- episode {number} is damaged and left out: {why}" for number, why in recorder.damaged.items()]
    write_page(
        run.path / "page.html", "\n".join(lines) + "\n\n" + media_markdown(*(f.relative_to(run.path) for f in films))
    )
    found = [episode_figures(episode) for episode in episodes.values()]
    run.finish(
        {
            "episodes": len(episodes),
            "ended_by_a_fault": len(episodes) - len(tried),
            "successes": int(successes.sum()),
            "steps": [len(episode) for episode in episodes.values()],
            "late_worst_s": max(one["late_s"]["worst"] for one in found),
            "overruns": sum(one["overruns"] for one in found),
            "events": dict(Counter(row["kind"] for row in events)),
        }
    )
    return lines


def episode_rows(episodes: Mapping[str, Episode]) -> list[str]:
    """A table, an episode a row."""
    lines = ["| episode | end | seconds | late: median, worst | overruns | limits met |", "|---|---|---|---|---|---|"]
    for name, episode in episodes.items():
        found = episode_figures(episode)
        late = found["late_s"]
        met = ", ".join(f"{limit} {count}" for limit, count in (found["met"] or {}).items())
        met = met or ("–" if found["met"] is None else "none")
        lines.append(
            f"| {name.removeprefix('episode_')} | {episode_summary(episode)} | {episode.times[-1]:.1f} "
            f"| {abs(1e3 * late['median']):.1f}, {abs(1e3 * late['worst']):.1f} ms | {found['overruns']} | {met} |"
        )
    return lines


def _counted(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What went wrong, by kind, with an example of each."""
    if not events:
        return ["No faults."]
    counts = Counter(row["kind"] for row in events)
    example = {row["kind"]: row["message"] for row in reversed(events)}
    return [f"- {kind}: {count}, as: {example[kind]}" for kind, count in counts.most_common()]
