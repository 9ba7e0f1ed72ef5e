"""Episodes as a situation has them, and clips as it shows them: what is changed, and nothing else.

What happens is changed in the episode (a door that stays, a pause). What is seen is changed before points are tracked
(a moved camera, a mirror, a cover), what is tracked after it (noise). One episode's situations have one recording.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpr.core.data.clip import CROP_SIZE, Recent, Square, TrackedClip, TrackSegment
from mpr.core.data.episode import Episode
from mpr.core.data.scene import CameraPath, SceneRecording
from mpr.core.data.step_log import StepLog
from mpr.reward.tracked import track_episode
from mpr.reward.trackers import EXACT
from rl.environments.kitchen.camera import camera_path
from rl.environments.kitchen.dense import FIRST_OBJECT, ROBOT_JOINTS
from rl.environments.kitchen.images import KitchenImages
from rl.environments.kitchen.scene import build_kitchen
from rl.environments.kitchen.setting import KITCHEN_RATE_HZ
from rl.environments.kitchen.tasks import Task
from rl.environments.kitchen.tracked import square
from tracking.motion.segments import track_segments
from tracking.simulator.gl import mujoco
from tracking.trackers.registry import make_tracker

PAUSE = 20  # steps: 1.6 s
TURNED_RAD, SHIFTED_M = np.deg2rad(4.0), 0.05  # a knocked camera: about its upright axis, and to its right
BOARD = slice(CROP_SIZE // 3, 2 * CROP_SIZE // 3)  # rows and columns of a clip that a grey board covers
BOARD_GREY = 128
NOISE_PX = 0.5  # of 256: standard deviation of a tracked place, in x and in y
FIRST_VELOCITY = 39  # of the state: where the velocities of objects begin


def happening(situation: str, task: Task, episode: Episode) -> Episode:
    """The episode as it goes in a situation: only `still` and `hesitation` change what happens."""
    if situation == "still":
        return held_still(task, episode)
    return with_pause(task, episode) if situation == "hesitation" else episode


def held_still(task: Task, episode: Episode) -> Episode:
    """The same motion of the arm; the task's object stays as it stood at the start, so nothing is achieved."""
    recording = _recording(episode)
    joints = list(task.joints)
    qpos = recording.qpos.copy()
    qpos[:, joints] = qpos[0, joints]
    states = np.array(episode.states)
    at = np.array(joints) - ROBOT_JOINTS
    states[:, FIRST_OBJECT + at] = states[0, FIRST_OBJECT + at]
    states[:, FIRST_VELOCITY + at] = 0
    states[:, -3:] += handles(task, qpos) - handles(task, recording.qpos)  # handle minus gripper
    stays = dataclasses.replace(recording, qpos=qpos)
    return dataclasses.replace(
        episode, states=states, recording=stays, success=False, terminated=False, truncated=True, log=StepLog()
    )


def handles(task: Task, qpos: NDArray) -> NDArray[np.float64]:
    """Where the task's handle is, [T+1, 3] metres in the world, by kinematics of joint positions [T+1, 30]."""
    data = mujoco.MjData(build_kitchen())
    found = np.zeros((len(qpos), 3))
    for t, joints in enumerate(qpos):
        data.qpos[:] = joints
        mujoco.mj_kinematics(data.model, data)
        found[t] = data.site(task.handle).xpos
    return found


def with_pause(task: Task, episode: Episode, steps: int = PAUSE) -> Episode:
    """The same episode, in which all stands still for so many steps when the door is half-way to where it ends."""
    recording = _recording(episode)
    travel = task.travel(recording.qpos)
    half = int(np.argmax(travel >= (travel[0] + travel[-1]) / 2))
    frames = np.insert(np.arange(len(travel)), half, np.full(steps, half))
    actions = np.insert(np.array(episode.executed_actions), half, np.zeros((steps, 1)), axis=0)
    times = np.arange(len(frames)) / KITCHEN_RATE_HZ
    camera = recording.camera.standing(len(frames))
    paused = dataclasses.replace(recording, qpos=recording.qpos[frames], times=times, camera=camera)
    return dataclasses.replace(
        episode,
        states=episode.states[frames],
        times=times,
        executed_actions=actions,
        base_actions=None,
        residual_actions=None,
        teacher_actions=None,
        recording=paused,
        log=StepLog(),
    )


class Showing:
    """One OpenGL renderer for all situations and views of one task."""

    def __init__(self, task: Task, tracker: str) -> None:
        self.task, self.tracker = task, tracker
        self.images = KitchenImages(task, ("front",), CROP_SIZE)

    @contextmanager
    def clip(self, situation: str, episode: Episode, view: str) -> Iterator[TrackedClip]:
        """The episode as a situation shows it from a view, frames kept once rendered, while the context is open.

        Raises NoGL, MissingWeights.
        """
        recording = _recording(episode)
        camera, crop = self._seen_by(situation, view, len(recording))
        recording = dataclasses.replace(recording, camera=camera)
        renderer = self.images.look(recording)
        renderer.crop = crop
        with track_episode(dataclasses.replace(episode, recording=recording), EXACT, renderer=renderer) as clip:
            clip = _kept(clip)
            if situation == "occlusion":
                clip = covered(clip)
            if self.tracker != EXACT:
                segments = track_segments(make_tracker(self.tracker), clip.frames, clip.masks)
                clip = dataclasses.replace(clip, segments=segments)
            yield noisy(clip, episode.seed or 0) if situation == "noise" else clip

    def _seen_by(self, situation: str, view: str, length: int) -> tuple[CameraPath, Square]:
        """The camera, and the square that was fixed for it before anything was changed."""
        camera, crop = camera_path(self.task, view, length), square(self.task, view)
        if situation == "camera":
            return knocked(camera), crop
        if situation == "mirrored":
            left = camera.width - 1 - (crop.left + crop.size)
            return dataclasses.replace(camera, mirrored=not camera.mirrored), dataclasses.replace(crop, left=left)
        return camera, crop


@lru_cache(maxsize=2)
def showing(task: Task, tracker: str) -> Showing:
    """Kept in a process as long as it lasts: to open a renderer takes about as long as to show an episode."""
    return Showing(task, tracker)


def knocked(camera: CameraPath) -> CameraPath:
    """The camera turned about its own upright axis and moved to its right, all along."""
    frames = Rotation.from_quat(camera.quaternions)
    turned = frames * Rotation.from_rotvec([0.0, TURNED_RAD, 0.0])
    right = frames.apply([SHIFTED_M, 0.0, 0.0])
    return dataclasses.replace(camera, quaternions=turned.as_quat(), positions=camera.positions + right)


class _Changed:
    """Frames or masks of another source with a part painted over."""

    def __init__(self, source: Any, value: int) -> None:
        self.source, self.value = source, value

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, t: int, /) -> Any:
        image = np.array(self.source[t])
        image[BOARD, BOARD] = self.value
        return image


def covered(clip: TrackedClip) -> TrackedClip:
    """A grey board stands before the middle of the image: no object there, and no point is seen behind it."""
    segments = []
    for one in clip.segments:
        under = ((one.points >= BOARD.start - 0.5) & (one.points < BOARD.stop - 0.5)).all(-1)
        segments.append(TrackSegment(one.start, one.points, one.visible & ~under))
    frames, masks = Recent(_Changed(clip.frames, BOARD_GREY), len(clip.times)), _Changed(clip.masks, 0)
    return dataclasses.replace(clip, frames=frames, masks=masks, segments=tuple(segments))


def noisy(clip: TrackedClip, seed: int) -> TrackedClip:
    """Every tracked place is off by noise of its own."""
    rng = np.random.default_rng([seed, 11])
    segments = tuple(
        TrackSegment(one.start, one.points + rng.normal(0, NOISE_PX, one.points.shape).astype(np.float32), one.visible)
        for one in clip.segments
    )
    return dataclasses.replace(clip, segments=segments)


def _kept(clip: TrackedClip) -> TrackedClip:
    """The clip with its frames and masks kept in memory: every reward looks at the same ones."""
    frames, masks = (Recent(source, len(clip.times)) for source in (clip.frames, clip.masks))
    return dataclasses.replace(clip, frames=frames, masks=masks)


def _recording(episode: Episode) -> SceneRecording:
    assert episode.recording is not None, "scripted episodes carry their recordings"
    return episode.recording
