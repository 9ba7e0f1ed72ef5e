"""The clips that an encoder is trained on, and those held out: long enough, re-timed, split as `mpr train` splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.core.data.clip import FrameSource, TrackedClip
from mpr.core.data.clip_folder import clip_folders, load_clip
from mpr.core.errors import UserError
from mpr.predictor.samples import lasts_less, refuse_untrainable, retimed, split_groups
from mpr.pretraining.config import PretrainConfig
from mpr.pretraining.objective import FEWEST_FRAMES
from mpr.pretraining.samples import frame_stretches
from mpr.training.clip_cache import cached_clips, clips_digest


@dataclass(frozen=True)
class ChosenClips:
    """Clips to learn from and held-out ones, as they lie on disk, and the names of those left out."""

    folders: list[Path]
    clips: list[TrackedClip]  # of the folders, in their order
    held: frozenset[int]  # which of them are held out
    short: list[str]
    made_of: str  # tells these clips from others

    @property
    def train(self) -> list[TrackedClip]:
        return [clip for i, clip in enumerate(self.clips) if i not in self.held]

    @property
    def val(self) -> list[TrackedClip]:
        return [clip for i, clip in enumerate(self.clips) if i in self.held]


def chosen_clips(config: PretrainConfig) -> ChosenClips:
    """What a run is made of. Masks are read, but no frame, and nothing is written.

    Clips of under `FEWEST_FRAMES` frames in a row that show the object are left out. Raises UserError where none is
    left, where one shows something else than the task done, and as `retimed` and `split_groups` do; BadClip.
    """
    folders = clip_folders(config.clips)
    refuse_untrainable(folders)
    clips = [load_clip(folder) for folder in folders]
    kept = [i for i, clip in enumerate(clips) if _stretches_at(clip, config.rate_hz)]
    short = [clip.source.uid for i, clip in enumerate(clips) if i not in set(kept)]
    if not kept:
        at = f" at --rate_hz {config.rate_hz:g}" if config.rate_hz else ""
        raise UserError(
            f"no clip in {config.clips} has {FEWEST_FRAMES} frames in a row that show its object{at} "
            f"({len(short)} left out): longer ones are needed"
        )
    folders, clips = [folders[i] for i in kept], [clips[i] for i in kept]
    held = split_groups(clips, config.val_share, config.seed)[1]
    return ChosenClips(folders, clips, frozenset(held), short, clips_digest(folders))


def _stretches_at(clip: TrackedClip, rate_hz: float) -> list[FrameSource]:
    """The clip's stretches, re-timed; none of one too short for a step of that rate. 0: at its own."""
    if rate_hz <= 0:
        return frame_stretches(clip)
    return [] if lasts_less(clip, 1 / rate_hz) else frame_stretches(retimed(clip, rate_hz))


def decoded_stretches(config: PretrainConfig, chosen: ChosenClips) -> tuple[list[FrameSource], list[FrameSource]]:
    """`frame_stretches` of the clips to learn from, and of the held-out ones, their frames from the cache."""
    clips = cached_clips(chosen.folders, config.resolved_size.image, config.cache or config.out / "cache")
    train: list[FrameSource] = []
    val: list[FrameSource] = []
    for i, clip in enumerate(clips):
        (val if i in chosen.held else train).extend(_stretches_at(clip, config.rate_hz))
    return train, val
