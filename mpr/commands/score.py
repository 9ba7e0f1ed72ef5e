"""`mpr score`: agreement per step and film strip of an episode, a tracked clip, or a real video with a box."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.data.clip import REMARKS, PointTracker, TrackedClip
from mpr.core.data.crop import OUTSIDE
from mpr.core.data.steps import spacing, spacing_summary
from mpr.core.device import check_device
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder, write_atomic
from mpr.reward.agreement import MOTION_THRESHOLD_PX, MOTION_THRESHOLDS_PX
from mpr.reward.baselines import Oracle, Rest
from mpr.reward.scoring import DeltaModel, Scored, agreements, mean_agreement, moved_shares, score_clip, score_summary
from mpr.reward.trackers import EXACT, REWARD_TRACKERS, reward_tracker_inputs
from tracking.motion.compensation import KNOWN_CAMERA, Compensation

_REWARDS = ("motion", "any_motion", "none")


@dataclass(frozen=True)
class ScoreConfig:
    """Scores one episode folder, one clip folder, or one video; what a camera filmed, with a box around its object."""

    out: Path = Path("runs/score")  # run folder
    predictor: Path | None = None  # run folder of `mpr train` (needed by reward `motion`)
    reward: str = "motion"  # motion | any_motion (the share of object points that moved, wherever to) | none
    episode: Path | None = None  # episode folder of `mpr episodes`; one of `mpr robot run`, with --camera and --box
    clip: Path | None = None  # clip folder of `mpr synth` or `mpr track`
    video: Path | None = None  # video file
    camera: str = ""  # of an episode that cameras filmed: its name; not needed where there is one
    box: tuple[int, int, int, int] | None = None  # x0,y0,x1,y1 in pixels as players show them, around only the object
    box_frame: int = 0  # frame of the video on which the box was drawn
    demonstrations: Path | None = None  # with a box: clips by its camera; one square, around the object in all of them
    tracker: str = ""  # exact, lucas_kanade, cotracker3_offline or _online; "": exact of a recording, else lucas_kanade
    weights: Path | None = None  # CoTracker's .pth file; not given, it is looked for in weights/ and torch.hub's folder
    device: str = "auto"  # of CoTracker: auto, cpu, cuda
    motion_threshold_px: float = MOTION_THRESHOLD_PX  # pixels of 256: a point tracked to move less counts 0
    # camera motion taken out: none for a fixed camera, mean is the paper's, known what a simulator recorded
    compensate: Compensation = "none"
    film: bool = True  # also write strip.mp4

    def __post_init__(self) -> None:
        if self.reward not in _REWARDS:
            raise UserError(f"reward '{self.reward}': there is {', '.join(_REWARDS)}")
        given = [name for name in ("episode", "clip", "video") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(f"give exactly one of --episode, --clip, --video ({', '.join(given) or 'none'} given)")
        if self.reward == "motion" and self.predictor is None:
            raise UserError("reward 'motion' needs --predictor RUN, a run folder of `mpr train`")
        if self.video is not None and self.box is None:
            raise UserError("--video needs --box x0,y0,x1,y1, the object in source pixels")
        if self.demonstrations is not None and (self.box is None or self.clip is not None):
            raise UserError("--demonstrations goes with --video or --episode and --box: clips bring their square along")
        if self.camera and self.episode is None:
            raise UserError(f"--camera {self.camera} goes with --episode: a video and a clip are of one camera")
        if self.motion_threshold_px <= 0:
            raise UserError(f"--motion_threshold_px {self.motion_threshold_px}: must be above 0 pixels")
        if self.compensate == KNOWN_CAMERA and (self.video is not None or self.box is not None or self.camera):
            raise UserError("--compensate known: how the camera of a video moved is not known; take affine")
        self._check_tracker()

    def _check_tracker(self) -> None:
        check_device(self.device)
        if self.tracker:
            REWARD_TRACKERS.check(self.tracker)
        if self.tracker and self.clip is not None:
            raise UserError(f"--tracker {self.tracker} goes with --episode or --video: a clip has its tracks")
        if self.tracker == EXACT and self.episode is None:
            raise UserError(f"--tracker {EXACT} goes with --episode: no simulator recorded a video")

    @property
    def input(self) -> Path:
        return next(p for p in (self.episode, self.clip, self.video) if p is not None)


@contextmanager
def _opened(config: ScoreConfig) -> Iterator[TrackedClip]:
    """The clip to score, whatever it is made from."""
    from mpr.core.data.clip_folder import clip_folders, load_clip

    folders = clip_folders(config.demonstrations) if config.demonstrations else []
    like = [load_clip(folder) for folder in folders]
    if config.clip is not None:
        yield load_clip(config.clip)
    elif config.episode is not None:
        from mpr.core.data.episode_folder import load_episode
        from mpr.reward.tracked import FilmedObject, track_episode

        filmed = FilmedObject(config.camera, config.box, config.box_frame, like=like)
        tracker = tracker_of(config) or config.tracker
        said = filmed if config.camera or config.box else None
        with track_episode(load_episode(config.episode), tracker, filmed=said) as clip:
            yield clip
    elif config.video is not None and config.box is not None:
        from tracking.clips.from_video import track_video

        yield track_video(config.video, config.box, config.box_frame, tracker=tracker_of(config), like=like)


def camera_known(clip: TrackedClip, config: ScoreConfig) -> TrackedClip:
    """The clip, its camera known from the simulator's recording beside it. Raises UserError where there is none."""
    from mpr.core.data.episode_folder import load_episode
    from tracking.motion.known_camera import known_recordings, with_known_camera

    if config.episode is None:
        return with_known_camera(clip, known_recordings([config.input])[0])
    recording = load_episode(config.episode).recording
    if recording is None:
        raise UserError(f"--compensate known: {config.episode} holds no scene recording, so its camera is not known")
    return with_known_camera(clip, recording)


def tracker_of(config: ScoreConfig) -> PointTracker | None:
    """The tracker that is asked for by name, exact tracks apart. Raises UserError, MissingWeights among them."""
    if config.tracker in ("", EXACT):
        return None
    from tracking.trackers.registry import make_tracker

    return make_tracker(config.tracker, config.weights, config.device)


def model_of(config: ScoreConfig) -> DeltaModel:
    """What foretells motion: rest for reward none, an oracle for any_motion or without predictor, or the predictor."""
    if config.reward == "none":
        return Rest()
    if config.predictor is None or config.reward == "any_motion":
        return Oracle(config.compensate)
    from mpr.predictor.checkpoint import load_predictor
    from mpr.predictor.predicted import PredictedDeltas

    return PredictedDeltas(load_predictor(config.predictor))


def progress_sensitivity(model: DeltaModel, clip: TrackedClip, config: ScoreConfig, own: Sequence[Scored]) -> dict:
    """How much mean agreement moves when progress (known only afterwards) is replaced by a constant."""
    from mpr.predictor.predicted import PredictedDeltas

    if not isinstance(model, PredictedDeltas):
        return {}
    change = {}
    for value in (0.0, 0.5, 1.0):
        fixed = PredictedDeltas(model.predictor, progress=value)
        other = score_clip(clip, fixed, config.compensate)
        change[f"progress_{value}"] = mean_agreement(other, config.motion_threshold_px) - mean_agreement(
            own, config.motion_threshold_px
        )
    return change


def square_told(clip: TrackedClip) -> str:
    """The clip's square in source pixels; in how many frames the mask left it, of one that was fixed before."""
    square = f"square of {clip.crop.size:.0f} pixels at x {clip.crop.left:.0f}, y {clip.crop.top:.0f}"
    if OUTSIDE not in clip.source.extra:
        return square
    return (
        f"{square}, the demonstrations'; the mask leaves it in {clip.source.extra[OUTSIDE]} of {len(clip.times)} frames"
    )


def facts(config: ScoreConfig) -> dict[str, object]:
    """What --dry-run says of the predictor: its size, and the steps it was trained for."""
    if config.predictor is None or not config.predictor.exists():
        return {}
    from mpr.predictor.checkpoint import load_predictor

    predictor = load_predictor(config.predictor)
    count = sum(p.numel() for part in (predictor.encoder, predictor.model) for p in part.parameters())
    return {"predictor parameters": f"{count:,}", "predictor training steps": predictor.card["step"]}


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr score`: scores the input, and writes figures, steps.csv and images into the run folder."""
    config, dry_run = parse_config(ScoreConfig, argv, "mpr score")
    more = {name: getattr(config, name) for name in ("predictor", "demonstrations")}
    inputs = {"input": config.input} | {name: path for name, path in more.items() if path is not None}
    inputs |= reward_tracker_inputs(config.tracker, config.weights)
    if dry_run:
        return print_plan(config, inputs, facts(config), config.out)
    from tracking.masks.unseen import in_words, visibility_summary  # OpenCV

    for name, path in inputs.items():
        if not path.exists():
            raise UserError(f"{name} {path} does not exist")
    model = model_of(config)
    with _opened(config) as opened:
        clip = camera_known(opened, config) if config.compensate == KNOWN_CAMERA else opened
        if clip.gaps.all():
            raise UserError(
                f"{config.input} has {len(clip.gaps)} step(s), each a gap, longer than 1.5 times 1 / "
                f"{clip.rate_hz:.4g} Hz, the rate that it says: nothing can be scored; give it the rate it was made at"
            )
        run = RunFolder(config.out, "score", as_dict(config))  # only now: a refused command leaves no folder behind
        scored = score_clip(clip, model, config.compensate)
        found = spacing((clip.times, clip.gaps))
        figures = score_summary(scored) | dict(found) | {"tracker": clip.source.tracker, "reward": config.reward}
        figures |= {"square": asdict(clip.crop), OUTSIDE: clip.source.extra.get(OUTSIDE)}
        figures |= {REMARKS: clip.source.remarks} if clip.source.remarks else {}
        figures["agreement_change_with"] = progress_sensitivity(model, clip, config, scored)
        lost = visibility_summary(clip) if config.episode is None or config.box is not None else {}
        if config.clip is not None and "lost_advice" in lost:
            lost["lost_advice"] = "these steps count 0; make the clip again of what shows it"
        said = in_words(lost, float(clip.times[-1]))
        figures |= lost
        write_atomic(run.path / "steps.csv", steps_table(scored, clip))
        _draw(run.path, clip, scored, config)
    run.finish(figures)
    print(json.dumps(figures, indent=2))
    print(square_told(clip))
    print(f"{len(scored)} steps, {spacing_summary(found)}")
    print(f"mean agreement {mean_agreement(scored):.3f} at {MOTION_THRESHOLD_PX} px; images: {run.path}/strip.png")
    if said:
        print(said)


def steps_table(scored: Sequence[Scored], clip: TrackedClip) -> str:
    """CSV of a clip's steps, one line a step.

    Time, agreement and moved share at every reported threshold, number of object points, the step's length, and whether
    it is a gap.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [f"{name}_{threshold_px}" for threshold_px in MOTION_THRESHOLDS_PX for name in ("agreement", "moved_share")]
    writer.writerow(["step", "seconds", "object_points", *head, "step_s", "gap"])
    lengths = np.diff(clip.times)
    columns = [f(scored, threshold_px) for threshold_px in MOTION_THRESHOLDS_PX for f in (agreements, moved_shares)]
    for t, s in enumerate(scored):
        values = [f"{column[t]:.6f}" for column in columns]
        writer.writerow([t, f"{clip.times[t]:.6f}", len(s.points), *values, f"{lengths[t]:.6f}", int(s.gap)])
    return text.getvalue()


def _draw(folder: Path, clip: TrackedClip, scored: Sequence[Scored], config: ScoreConfig) -> None:
    """Draw the film strip into the run folder, and the film where it is asked for."""
    from mpr.reward.strip import draw_film, draw_strip

    mean = mean_agreement(scored, config.motion_threshold_px)
    title = f"{config.input.name}: {config.reward}, {clip.source.tracker} tracks, mean agreement {mean:.3f}"
    draw_strip(folder / "strip.png", clip.frames, scored, clip.times, title, config.motion_threshold_px)
    if config.film:
        draw_film(folder / "strip.mp4", clip.frames, scored, clip.times, config.motion_threshold_px)
