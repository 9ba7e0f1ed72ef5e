"""The audit of a session, made of what its folder holds: summary.json, and a page that loads nothing from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import yaml
from numpy.typing import NDArray

from mpr.core.checkpoints import ABOUT, last_checkpoint
from mpr.core.checksums import sha256
from mpr.core.errors import UserError
from mpr.core.json_files import read_object
from mpr.core.report.figures import new_figure
from mpr.core.report.intervals import success_rate
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import atomic_path, read_metrics, recorded_setting, write_summary
from robot.learning.config import LEARNER
from robot.recording.recorder import episode_folders

PARTS = ("resetting", "moving", "reward", "saving", "updates")  # of an episode's time
VIEWS_FILE = "views.png"  # of the run's folder: what cameras saw when it was gone on with, beside what they saw before
_WINDOW = 10  # episodes of the running mean
WAITED_FOR = ("reward", "saving", "updates")  # what the operator waits for after a mark
Row = Mapping[str, Any]


class _Given(TypedDict):
    """What this asks of a learner's checkpoint.json."""

    given: list[int]


def session_rows(run: Path) -> tuple[Sequence[Row], Sequence[Row]]:
    """A session's episodes and events. Raises UserError for a folder that holds no session."""
    if recorded_setting(run, "command") != "robot session":
        raise UserError(f"--report {run}: it holds no session of `mpr robot session`")
    rows = read_metrics(run)
    episodes = [row for row in rows if row.get("what") == "episode"]
    return episodes, [row for row in rows if row.get("what") == "event"]


def session_summary(run: Path) -> dict[str, Any]:
    """What summary.json holds."""
    episodes, events = session_rows(run)
    successes = success_rate([row["success"] for row in episodes])
    waits = [row["wait_s"] for row in episodes if row.get("wait_s") is not None] or [0.0]
    late = np.array([value for row in episodes for value in row["late_s"]] or [0.0])
    late_ms = {f"p{percent}": 1e3 * float(np.percentile(late, percent)) for percent in (50, 99)}
    guessed = detected(episodes)
    settled = [row["updates"] for row in read_metrics(run) if row.get("what") == "settled"]
    return {
        "episodes": len(episodes),
        "success": {"value": successes.value, "low": successes.low, "high": successes.high, "n": len(episodes)},
        "success_thirds": [float(np.mean(some)) for some in thirds(episodes)],
        "wait_s": {"p50": float(np.quantile(waits, 0.5)), "p95": float(np.quantile(waits, 0.95))},
        "beats": {"missed": sum(row["missed"] for row in episodes), "late_ms": late_ms},
        "lost": len(episode_folders(run / "episodes").keys() - given_episodes(run)),
        "interventions": sum(row.get("interventions", 0) for row in episodes),
        **({"detector": vars(success_rate(list(guessed.values()))) | {"n": len(guessed)}} if guessed else {}),
        "updates": max([row["updates"] for row in episodes] + settled, default=0),
        "seconds": {part: sum(_second(row, part) for row in episodes) for part in PARTS},
        "events": dict(Counter(row["kind"] for row in events)),
    }


def detected(episodes: Sequence[Row]) -> dict[int, bool]:
    """Numbers of the episodes that the detector guessed, and whether it agreed with the mark."""
    guesses = {row["number"]: (row["detector"], row["success"]) for row in episodes if row.get("detector") is not None}
    return {number: (guess > 0.5) == bool(success) for number, (guess, success) in guesses.items()}


def given_episodes(run: Path) -> set[int]:
    """Numbers of the episodes that the learner has."""
    folder = last_checkpoint(run / LEARNER)
    return set() if folder is None else set(read_object(folder / ABOUT, _Given)["given"])


def thirds(episodes: Sequence[Row]) -> list[NDArray[np.float64]]:
    """Successes [N] of the first, the middle and the last third, each that there are."""
    return [some for some in np.array_split([float(row["success"]) for row in episodes], 3) if len(some)]


def _second(row: Row, part: str) -> float:
    return float((row.get("seconds") or {}).get(part, 0.0))


def write_report(run: Path) -> list[str]:
    """Write summary.json and page.html; the page's first lines, for the screen. Raises UserError without an episode."""
    episodes, events = session_rows(run)
    if not episodes:
        raise UserError(f"no episode in {run}: the session ended before the first was over")
    summary = session_summary(run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    draw_curve(run / "curve.png", episodes)
    lines = session_lines(config, episodes, events, summary)
    told = [
        *lines,
        "",
        "Success of the last ten episodes, while practising, and of each.",
        "",
        _picture("curve.png"),
    ]
    if (run / VIEWS_FILE).exists():
        told += ["", "What the session that went on last met, beside what was there before.", "", _picture(VIEWS_FILE)]
    told += ["", *episode_table(episodes), "", *_files(run)]
    write_page(run / "page.html", "\n".join(told))
    write_summary(run, summary)
    return lines


def session_lines(
    config: Mapping[str, Any], episodes: Sequence[Row], events: Sequence[Row], summary: Mapping[str, Any]
) -> list[str]:
    """How the session went, in Markdown."""
    rate, wait = success_rate([row["success"] for row in episodes]), summary["wait_s"]
    told = ", ".join(f"{value:.2f}" for value in summary["success_thirds"])
    seconds = summary["seconds"]
    whole = sum(seconds.values()) or 1.0
    hour = ", ".join(f"{part} {seconds[part]:.0f} s ({seconds[part] / whole:.0%})" for part in PARTS)
    learner = f"{summary['updates']:,} updates, schedule {config.get('schedule') or 'as the clock asks'}"
    lines = [
        f"# {config['task']} on {config['arm']}: {len(episodes)} episodes of practice on {Path(config['base']).name}",
        "",
        f"- success while practising: {rate}; in thirds: {told}",
        f"- reward {config['reward']}; {learner}",
        f"- where the time went: {hour}",
        f"- the operator waited after a mark: {wait['p50']:.2f} s (median), {wait['p95']:.2f} s (95 %)",
        f"- beats missed: {summary['beats']['missed']}; late by {summary['beats']['late_ms']['p99']:.1f} ms (99 %)",
    ]
    if guessed := detected(episodes):
        not_in = ", ".join(str(number) for number, agreed in guessed.items() if not agreed) or "none"
        agreed = success_rate(list(guessed.values()))
        lines.append(f"- the detector agreed with the mark in {agreed} of {len(guessed)}; not in episodes: {not_in}")
    if summary["lost"]:
        lines.append(f"- **{summary['lost']} episodes on disk were not learned from**")
    counts, example = Counter(row["kind"] for row in events), {row["kind"]: row["message"] for row in reversed(events)}
    lines += [f"- {kind}: {count}, as: {example[kind]}" for kind, count in counts.most_common()] or ["- no faults"]
    return lines


def episode_table(episodes: Sequence[Row]) -> list[str]:
    """An episode a row."""
    lines = [
        "| episode | ended | steps | reward | residual | updates of its actor's successor | waited |",
        "|---" * 7 + "|",
    ]
    for row in episodes:
        end = "success" if row["success"] else row["fault"] or row["mark"] or "time is up"
        waited = "–" if row.get("wait_s") is None else f"{row['wait_s']:.2f} s"
        lines.append(
            f"| {row['number']} | {end} | {row['steps']} | {row['reward']:.1f} | {row['residual']:.2f} "
            f"| {row['updates']} | {waited} |"
        )
    return lines


def draw_curve(path: Path, episodes: Sequence[Row]) -> None:
    """Each episode's success as a point, and the mean of the last ten as a line."""
    successes = np.array([float(row["success"]) for row in episodes])
    number = np.arange(1, len(successes) + 1)
    mean = [successes[max(0, k - _WINDOW) : k].mean() for k in number]
    figure = new_figure(7, 3)
    axes = figure.subplots()
    axes.plot(number, successes, ".", color="0.6", label="an episode")
    axes.plot(number, mean, label=f"mean of the last {_WINDOW}")
    axes.set(xlabel="episode of practice", ylabel="success", ylim=(-0.05, 1.05))
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight")


def _picture(name: str) -> str:
    return media_markdown(Path(name))


def _files(run: Path) -> list[str]:
    """The episodes on disk and the checksum of each one's checksums."""
    lines = ["| folder | SHA-256 of its SHA256SUMS |", "|---|---|"]
    for folder in episode_folders(run / "episodes").values():
        sums = folder / "SHA256SUMS"
        lines.append(f"| {folder.name} | {sha256(sums)[:16] if sums.exists() else 'missing'} |")
    return lines
