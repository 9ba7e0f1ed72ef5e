"""Tracks kitchen episodes as one view sees them: what rewards that see are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from mpr.episode import Episode
from mpr.rewards.motion import Track
from mpr.tracked import track_episode
from rl.kitchen.camera import camera_path
from rl.kitchen.pictures import KitchenPictures
from rl.kitchen.tasks import Task
from tracking.clip import CROP_SIZE, TrackedClip


def tracked_from(task: Task, view: str, tracker: str) -> Track:
    """Tracks episodes of a task as the named view sees them, whatever view they were recorded from; one at a time, for
    one renderer serves them all. Raises UserError for a view that does not exist, and NoGL."""
    camera_path(task, view, 1)
    pictures = KitchenPictures(task, (view,), CROP_SIZE)
    pictures.open()
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
            renderer = pictures.look(seen)
            renderer.crop = renderer.scene.crop()
        try:
            free = False
            with track_episode(episode, tracker, renderer=renderer) as clip:
                yield clip
        finally:
            free = True

    return track
