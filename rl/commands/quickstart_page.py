"""The quickstart's end: summary.json, film strips of three episodes, and index.html, which tells what happened."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mpr.core.processes import cpu_threads
from mpr.core.report.intervals import UNIT_RANGE, Interval, mean
from mpr.core.report.page import media_markdown, write_page
from mpr.core.runs import RunFolder, read_metrics, read_row
from mpr.predictor.checkpoint import load_predictor
from mpr.predictor.predicted import PredictedDeltas
from mpr.reward.agreement import MOTION_THRESHOLD_PX
from mpr.reward.scoring import mean_agreement, score_clip
from mpr.reward.strip import draw_strip
from rl.commands.quickstart import QuickstartConfig, quickstart_stages
from rl.environments.kitchen.tasks import find_task
from rl.environments.kitchen.tracked import tracked_from
from rl.environments.kitchen.with_base import kitchen_with_base
from rl.environments.play import BASE_NAME, play_episode
from rl.evaluation.config import EvaluateConfig
from rl.evaluation.evaluate import load_residual
from rl.evaluation.outcomes import ComparedPolicies, compare_policies, comparison_table
from rl.experiments.direction_table import DirectionRaw, direction

RESIDUAL = "practice"  # the residual policy's name: its run folder's
PageRow = Mapping[str, Any]


class _Stage(TypedDict):
    """What stages/NAME.json says of one that is done."""

    seconds: float


@dataclass(frozen=True)
class EpisodeShown:
    """An episode worth showing."""

    name: str
    row: PageRow

    def caption(self, unit: str) -> str:
        who = "base policy" if self.row["policy"] == BASE_NAME else "base + residual"
        return f"{self.name}: {who}, seed {self.row['seed']}, door at {self.row['travel']:.2f} {unit} in the end"


def write_quickstart_page(config: QuickstartConfig, run: RunFolder) -> None:
    """Write summary.json and index.html out of the stages' own files and strips/, and say the result."""
    rows = read_metrics(config.folder("evaluation"))
    base, residual = compare_policies(rows, [BASE_NAME]), compare_policies(rows, [RESIDUAL])
    told = worth_showing(rows)
    strips = strip_files(config, told)
    summary = {
        "seconds": _seconds(config, run),
        "peak_memory_gb": max(row["memory_gb"] for row in run.metrics()),
        "base": {"success_rate": dataclasses.asdict(base.success)},
        "residual": {"success_rate": dataclasses.asdict(residual.success)},
        "improvement": dataclasses.asdict(residual.gain),
        "reward": reward_figures(config),
    }
    captions = [one.caption(find_task(config.task).unit) for one in told]
    images = [
        f"![{text}]({file.relative_to(config.out)})"
        for text, file in zip(captions, strips, strict=True)
        if file.exists()
    ]
    films = sorted((config.folder("evaluation") / "films").glob("*.mp4"))
    text = story(config, summary, comparison_table(rows, {RESIDUAL: [RESIDUAL]}), residual, images, films)
    write_page(config.out / "index.html", text)
    run.finish(summary)
    print(f"{verdict(residual.gain)} Look at {config.out / 'index.html'}")


def worth_showing(rows: Sequence[PageRow]) -> list[EpisodeShown]:
    """The episodes to show: a success, and of the failures the door's furthest and least travel.

    The success is one that the base policy failed at, if there is one; failures are the residual's before the base's.
    """
    of = {name: {row["seed"]: row for row in rows if row["policy"] == name} for name in (RESIDUAL, BASE_NAME)}

    def base_too(row: PageRow) -> bool:
        return of[BASE_NAME][row["seed"]]["success"]

    won = [row for name in of for row in of[name].values() if row["success"]]
    told = []
    if won:
        told.append(
            EpisodeShown("success", min(won, key=lambda row: (row["policy"] == BASE_NAME, base_too(row), row["seed"])))
        )
    failed = [row for name in of for row in of[name].values() if not row["success"]]
    if failed:
        told.append(EpisodeShown("near miss", max(failed, key=lambda row: (row["travel"], row["policy"] == RESIDUAL))))
        rest = [row for row in failed if row is not told[-1].row]
        told += (
            [EpisodeShown("failure", min(rest, key=lambda row: (row["travel"], row["policy"] == BASE_NAME)))]
            if rest
            else []
        )
    return told


def strip_files(config: QuickstartConfig, told: Sequence[EpisodeShown]) -> list[Path]:
    """Where each episode's film strip lies."""
    return [config.out / "strips" / f"{one.name.replace(' ', '_')}.png" for one in told]


def draw_strips(config: QuickstartConfig) -> None:
    """Play the episodes worth showing again and draw them as the reward saw them, into strips/.

    A seed gives the same episode.
    """
    told = worth_showing(read_metrics(config.folder("evaluation")))
    asked = EvaluateConfig(f"kitchen:{config.task}", base=config.folder("base"))
    model = PredictedDeltas(load_predictor(config.folder("predictor")))
    track = tracked_from(find_task(config.task), "front", "exact")
    with cpu_threads(1), kitchen_with_base(asked.setting, "front") as environment:  # as evaluation did
        policies = {BASE_NAME: None, RESIDUAL: load_residual(asked, config.folder("practice"))}
        for one, file in zip(told, strip_files(config, told), strict=True):
            again = play_episode(environment, policies[one.row["policy"]], one.row["seed"])
            if again.success != one.row["success"]:
                continue  # evaluated on another machine: what is played here is another episode
            assert environment.finished is not None
            with track(environment.finished) as clip:
                scored = score_clip(clip, model)
                title = f"{one.name}: mean agreement {mean_agreement(scored):.3f}"
                draw_strip(file, clip.frames, scored, clip.times, title)


def reward_figures(config: QuickstartConfig) -> dict[str, float | None]:
    """What the reward makes of opening, closing and missing.

    Directional agreement of opening and closing (exact tracks; an oracle has 1, a random direction 0.32), and the mean
    agreement a step of misses, tracked with Lucas-Kanade.
    """
    raw = DirectionRaw(config.folder("reward"))
    at = {"task": config.task, "row": "motion"}
    opening, closing = (direction(raw, {**at, "tracker": "exact", "kind": kind}) for kind in ("opening", "closing"))
    agreement, _, steps = raw.select({**at, "tracker": "lucas_kanade", "kind": "miss"}, MOTION_THRESHOLD_PX)
    figures = {"open": opening, "close": closing, "miss_lk": mean(agreement / steps, UNIT_RANGE)}
    return {name: None if np.isnan(figure.value) else figure.value for name, figure in figures.items()}


def _seconds(config: QuickstartConfig, run: RunFolder) -> dict[str, float]:
    """Of the whole, by the clock on the wall, with attempts that were killed; and of each stage's last attempt."""
    each = {
        name: read_row(config.out / "stages" / f"{name}.json", _Stage)["seconds"] for name in quickstart_stages(config)
    }
    return {"total": max(row["wall"] for row in run.metrics()), **each}


def verdict(gain: Interval) -> str:
    """The result in a sentence that does not say more than the interval does."""
    if gain.low > 0:
        return f"Practice helped: {gain} more successes an episode than the base policy alone."
    if gain.high < 0:
        return f"Practice harmed: {gain} successes an episode against the base policy alone."
    return f"Practice changed success by {gain} against the base policy alone: that may be nothing."


def story(
    config: QuickstartConfig,
    summary: Mapping[str, Any],
    lines: Sequence[str],
    residual: ComparedPolicies,
    images: Sequence[str],
    films: Sequence[Path],
) -> str:
    """The page, as Markdown."""
    took, stage = summary["seconds"], quickstart_stages(config)
    reward = {name: "–" if value is None else f"{value:.2f}" for name, value in summary["reward"].items()}
    return STORY.format(
        **dataclasses.asdict(config) | reward,
        thing=find_task(config.task).words,
        verdict=verdict(residual.gain),
        base_rate=f"{summary['base']['success_rate']['value']:.0%}",
        table="\n".join(lines),
        images="\n\n".join(images),
        films=media_markdown(*(film.relative_to(config.out) for film in films)),
        times="\n".join(f"| {name} | {one.words} | {took[name]:.0f} |" for name, one in stage.items()),
        total=f"{took['total']:.0f}",
        memory=f"{summary['peak_memory_gb']:.1f}",
    )


STORY = """# Quickstart: a robot practises opening {thing}

**{verdict}** It was paid by a motion reward that has seen no robot and no kitchen: only {clips} synthetic clips of a
hand opening other appliances. This is one run of practice, and runs differ. Whether it is the *reward* that helped is
another question: at the sliding cabinet practice paid −1 a step and nothing else helps as much. `mpr experiment reach`
compares rewards over several runs.

## What happened

1. A hand opened {clips} synthetic appliances under a moving head camera. A **motion predictor** learned from them where
   an object's points go next.
2. A scripted expert showed the robot {demonstrations} times how to open {thing}. A small diffusion policy learned from
   that: the **base policy**, which succeeds {base_rate} of the time.
3. A **residual policy** practised for {episodes} episodes on top of it. After each one the object's points were tracked
   (exactly, by the simulator), and every step was paid by how well their motion agreed with the predicted one, minus 1,
   plus 1 for success.
4. Both were evaluated on {evaluation} starts that neither had seen, the same for both:

{table}

![success while practising, mean of the last 20 episodes](evaluation/curves.png)

**Does the reward know which way is open?** On {reward_episodes} scripted episodes of each kind it pays {open} of what
an oracle would for opening and {close} for closing (a random direction: 0.32), and {miss_lk} a step where the arm
misses the handle (Lucas–Kanade tracks).

## Episodes, as the reward saw them

Blue: how points moved. Orange: how the predictor thought they would. Underneath: how many moved, and how well the two
agree.

{images}

## The same starts, base beside base + residual

{films}

## What took how long

| stage | what it does | seconds |
|---|---|---|
{times}
| all, by the clock | stages run side by side where they can | {total} |

At most {memory} GB of memory. Every stage is a command of its own, with its folder and its log beside this page; the
same command again resumes where it was killed.

## Next: your own clips, your own task

Videos in a folder, some dozens of actions, and beside them a table of what is done when, with a box around the object
(columns `video`, `start_s`, `stop_s`, `narration`, `box`; `docs/find` in the repository tells the rest):

```
mpr find --folder VIDEOS --out runs/found                              # what there is, on a contact sheet
mpr track --manifest runs/found/manifest.jsonl --out runs/tracked      # clips of it, and a page to review them
mpr train --clips runs/tracked/clips --out runs/predictor              # a predictor of how the object moves
mpr score --predictor runs/predictor --video VIDEO --box x0,y0,x1,y1 --out runs/score
mpr finetune --env kitchen:{task} --base BASE --demos DEMOS --reward motion --predictor runs/predictor --out runs/tuned
```

Which reward teaches best is what `mpr experiment reach` asks. Sessions on a real arm are in `docs/robot.md`.
"""
