"""What the figures of a clip say, on clips whose motion is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpr.core.data.clip import FrameSource, TrackedClip, Tracks
from tests.toy_clips import square_clip, toy_clip
from tracking.clips.quality import quality, tracked_back


class Sliding:
    """Knows that everything moves `step` px a frame, and is wrong by `error` px a frame."""

    name = "sliding"

    def __init__(self, step: tuple[float, float], error: float = 0.0) -> None:
        self.step, self.error = np.asarray(step, float), error

    def track(self, frames: FrameSource, queries: np.ndarray) -> Tracks:
        t = np.arange(len(frames))[:, None, None]
        points = queries[None, :, 1:] + t * np.add(self.step, [self.error, 0.0])
        return Tracks(points.astype(np.float32), np.ones(points.shape[:2], bool))


def test_a_pan_is_seen_and_taken_out() -> None:
    still = np.tile([[60, 60]], (6, 1))
    panned = quality(square_clip(still, np.arange(6)[:, None] * np.array([3.0, 4.0])))
    assert panned.background_raw == pytest.approx(5) and panned.background_left == pytest.approx(0, abs=1e-4)
    assert panned.motion == pytest.approx(0, abs=1e-4) and panned.visible_share == 1
    assert panned.motion_raw == pytest.approx(5)
    slid = quality(toy_clip(drift=(1.0, 0.5), speed=4.0))
    assert slid.motion == pytest.approx(4, abs=1e-3) and slid.frames == 10 and slid.track_length == 9


def test_hidden_objects_and_lost_points_count() -> None:
    clip = toy_clip(cut=4)

    class Gone:
        def __len__(self) -> int:
            return len(clip.masks)

        def __getitem__(self, t: int):
            return clip.masks[t] & (t < 5)

    half = quality(dataclasses.replace(clip, masks=Gone()))
    assert half.visible_share == 0.5 and quality(clip).track_length == 4.5
    visible = clip.segments[0].visible.copy()
    visible[-1] = False
    lost = (dataclasses.replace(clip.segments[0], visible=visible), clip.segments[1])
    assert quality(dataclasses.replace(clip, segments=lost)).points_kept == pytest.approx(
        0.5 * quality(clip).points_kept
    )


def test_nothing_to_measure_is_nan_and_never_an_error() -> None:
    clip = toy_clip()
    segments = tuple(dataclasses.replace(s, visible=np.zeros_like(s.visible)) for s in clip.segments)
    empty = quality(dataclasses.replace(clip, segments=segments))
    assert np.isnan([empty.points_kept, empty.background_raw, empty.background_left, empty.motion]).all()
    assert empty.object_points == 0 and np.isnan(
        tracked_back(dataclasses.replace(clip, segments=segments), Sliding((0, 0)))
    )


def test_a_right_tracker_comes_back_to_where_it_started() -> None:
    clip: TrackedClip = toy_clip(drift=(0.0, 0.0), speed=4.0)
    assert tracked_back(clip, Sliding((-4.0, 0.0))) == pytest.approx(0, abs=1e-4)
    assert tracked_back(clip, Sliding((-4.0, 0.0), error=0.5)) == pytest.approx(0.5 * 9, abs=1e-3)
    seen = []

    class Watching(Sliding):
        def track(self, frames: FrameSource, queries: np.ndarray) -> Tracks:
            seen.append([frames[t] for t in range(len(frames))])
            return super().track(frames, queries)

    tracked_back(clip, Watching((-4.0, 0.0)))
    assert all(np.array_equal(a, clip.frames[9 - t]) for t, a in enumerate(seen[0])), "last first"
