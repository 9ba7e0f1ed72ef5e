"""`mpr score`: agreement per step and film strip of a recorded episode, a tracked clip, or a real video with a box."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpr.reward import MOVED, MOVED_REPORTED
from mpr.scoring import DeltaModel, Scored, agreements, moved_shares, score_clip, summary
from mpr.standins import Oracle, Rest
from tracking.clip import TrackedClip
from tracking.compensation import Compensation
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder, write_atomic

REWARDS = ("motion", "any_motion", "none")


@dataclass(frozen=True)
class ScoreConfig:
    """Scores one episode folder, one clip folder, or one video with a box around its object."""

    out: Path = Path("runs/score")  # run folder
    predictor: Path | None = None  # run folder of `mpr train` (needed by reward `motion`)
    reward: str = "motion"  # motion | any_motion (the share of object points that moved, wherever to) | none
    episode: Path | None = None  # episode folder of `mpr episodes`
    clip: Path | None = None  # clip folder of `mpr synth` or `mpr track`
    video: Path | None = None  # video file
    box: tuple[int, int, int, int] | None = None  # x0,y0,x1,y1 in source pixels of the video: around the object alone
    box_frame: int = 0  # frame of the video on which the box was drawn
    tracker: str = "exact"  # for an episode: exact | lucas_kanade (a video is always Lucas-Kanade)
    moved: float = MOVED  # pixels of 256: a point tracked to move less counts 0
    compensate: Compensation = "none"  # camera motion taken out; none for a fixed camera, mean is the paper's
    film: bool = True  # also write strip.mp4

    def __post_init__(self) -> None:
        if self.reward not in REWARDS:
            raise UserError(f"reward '{self.reward}': there is {', '.join(REWARDS)}")
        given = [name for name in ("episode", "clip", "video") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(f"give exactly one of --episode, --clip, --video ({', '.join(given) or 'none'} given)")
        if self.reward == "motion" and self.predictor is None:
            raise UserError("reward 'motion' needs --predictor RUN, a run folder of `mpr train`")
        if self.video is not None and self.box is None:
            raise UserError("--video needs --box x0,y0,x1,y1, the object in source pixels")
        if self.moved <= 0:
            raise UserError(f"--moved {self.moved}: must be above 0 pixels")

    @property
    def input(self) -> Path:
        return next(p for p in (self.episode, self.clip, self.video) if p is not None)


@contextmanager
def opened(config: ScoreConfig) -> Iterator[TrackedClip]:
    """The clip to score, whatever it is made from."""
    if config.episode is not None:
        from mpr.episode import load_episode
        from mpr.tracked import track_episode

        with track_episode(load_episode(config.episode), config.tracker) as clip:
            yield clip
    elif config.clip is not None:
        from tracking.store import load_clip

        yield load_clip(config.clip)
    elif config.video is not None and config.box is not None:
        from tracking.from_video import track_video

        yield track_video(config.video, config.box, config.box_frame)


def model_of(config: ScoreConfig) -> DeltaModel:
    if config.reward == "none":
        return Rest()
    if config.predictor is None or config.reward == "any_motion":
        return Oracle(config.compensate)
    from mpr.checkpoint import load_predictor
    from mpr.predicted import PredictedDeltas

    return PredictedDeltas(load_predictor(config.predictor))


def progress_sensitivity(model: DeltaModel, clip: TrackedClip, config: ScoreConfig, own: Sequence[Scored]) -> dict:
    """How much mean agreement moves when progress t/T (known only afterwards) is replaced by a constant."""
    from mpr.predicted import PredictedDeltas

    if not isinstance(model, PredictedDeltas):
        return {}
    change = {}
    for value in (0.0, 0.5, 1.0):
        fixed = PredictedDeltas(model.predictor, progress=value)
        other = agreements(score_clip(clip, fixed, config.compensate), config.moved)
        change[f"progress_{value}"] = float(other.mean() - agreements(own, config.moved).mean())
    return change


def facts(config: ScoreConfig) -> dict[str, object]:
    """What --dry-run says of the predictor: its size, and the steps it was trained for."""
    if config.predictor is None or not config.predictor.exists():
        return {}
    from mpr.checkpoint import load_predictor

    predictor = load_predictor(config.predictor)
    count = sum(p.numel() for part in (predictor.encoder, predictor.model) for p in part.parameters())
    return {"predictor parameters": f"{count:,}", "predictor training steps": predictor.card["step"]}


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(ScoreConfig, argv, "mpr score")
    inputs = {"input": config.input} | ({"predictor": config.predictor} if config.predictor else {})
    if dry_run:
        return print_plan(config, inputs, facts(config), config.out)
    for name, path in inputs.items():
        if not path.exists():
            raise UserError(f"{name} {path} does not exist")
    model = model_of(config)
    with opened(config) as clip:
        run = RunFolder(config.out, "score", as_dict(config))  # only now: a refused command leaves no folder behind
        scored = score_clip(clip, model, config.compensate)
        figures = summary(scored) | {"tracker": clip.source.tracker, "reward": config.reward}
        figures["agreement_change_with"] = progress_sensitivity(model, clip, config, scored)
        write_atomic(run.path / "steps.csv", steps_table(scored, clip))
        draw(run.path, clip, scored, config)
    run.finish(figures)
    at = figures[f"moved_{MOVED}"]
    print(json.dumps(figures, indent=2))
    print(f"mean agreement {at['mean_agreement']:.3f} at {MOVED} px; pictures: {run.path}/strip.png")  # type: ignore[index]


def steps_table(scored: Sequence[Scored], clip: TrackedClip) -> str:
    """CSV, one line a step: time, agreement and moved share at every reported threshold, number of object points."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [f"{name}_{moved}" for moved in MOVED_REPORTED for name in ("agreement", "moved_share")]
    writer.writerow(["step", "seconds", "object_points", *head])
    columns = [f(scored, moved) for moved in MOVED_REPORTED for f in (agreements, moved_shares)]
    for t, s in enumerate(scored):
        values = [f"{column[t]:.6f}" for column in columns]
        writer.writerow([t, f"{clip.times[t]:.6f}", len(s.points), *values])
    return text.getvalue()


def draw(folder: Path, clip: TrackedClip, scored: Sequence[Scored], config: ScoreConfig) -> None:
    from mpr.strip import draw_film, draw_strip

    mean = float(agreements(scored, config.moved).mean()) if scored else math.nan
    title = f"{config.input.name}: {config.reward}, {clip.source.tracker} tracks, mean agreement {mean:.3f}"
    draw_strip(folder / "strip.png", clip.frames, scored, clip.times, title, config.moved)
    if config.film:
        draw_film(folder / "strip.mp4", clip.frames, scored, clip.times, config.moved)
