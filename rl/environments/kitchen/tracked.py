"""Tracks kitchen episodes as one view sees them: what rewards that see are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from mpr.core.data.clip import CROP_SIZE, Square, TrackedClip
from mpr.core.data.episode import Episode
from mpr.reward.model import Track
from mpr.reward.tracked import track_episode
from mpr.reward.trackers import reward_tracker_inputs
from rl.environments.kitchen.camera import camera_path
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.recording import scene_recording
from rl.environments.kitchen.scene import build_kitchen
from rl.environments.kitchen.tasks import Task
from tracking.simulator.mujoco_scene import RecordedScene


@lru_cache
def square(task: Task, view: str) -> Square:
    """The one square in which every episode of a task is seen from a view, whatever happens in it.

    It holds the object from shut to what is called open, or to the goal where that is further. Raises UserError for a
    view that does not exist.
    """
    return RecordedScene(scene_recording(task, np.zeros(2), build_kitchen().qpos0[None], view)).crop()


def tracked_from(task: Task, view: str, tracker: str) -> Track:
    """Tracks episodes of a task as the named view sees them, whatever view they were recorded from.

    One at a time, for one renderer serves them all. Raises UserError for a view that does not exist, MissingWeights and
    NoGL.
    """
    square(task, view)  # before the first step
    reward_tracker_inputs(tracker)
    images = KitchenImages(task, (view,), CROP_SIZE)
    images.open()
    free = True

    @contextmanager
    def track(episode: Episode) -> Iterator[TrackedClip]:
        nonlocal free
        if not free:
            raise RuntimeError("an episode is being tracked: its context must end before the next begins")
        renderer = None
        if episode.recording is not None:
            seen = dataclasses.replace(episode.recording, camera=camera_path(task, view, len(episode.recording)))
            episode = dataclasses.replace(episode, recording=seen)
            renderer = images.look(seen)
            renderer.crop = square(task, view)
        try:
            free = False
            with track_episode(episode, tracker, renderer=renderer) as clip:
                yield clip
        finally:
            free = True

    return track
