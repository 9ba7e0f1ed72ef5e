"""One square a task and view, fixed before the first step: what follows changes nothing of what went before."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main
from mpr.core.data.clip import Square
from mpr.core.data.clip_folder import clip_folders, load_clip, save_clip
from mpr.core.data.crop import OUTSIDE, crop_of_clips, crop_of_masks, cut_square
from mpr.core.data.episode import Episode
from mpr.core.data.scene import SceneRecording
from mpr.core.data.steps import gaps_of
from mpr.core.data.video import write_video
from mpr.core.errors import BadClip, UserError
from mpr.reward.motion import MotionReward
from tests.core.test_scene import DOOR
from tests.core.test_scene import record as toy_recording
from tests.toy_clips import toy_clip
from tests.tracking.moving_scenes import Moving
from tracking.clips.from_video import rate_like, track_video
from tracking.motion.points import Transition
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_scene import RecordedScene

SAYS_HOW_FAR = DOOR.replace("</mujoco>", '<keyframe><key name="door" qpos="-1 0"/></keyframe></mujoco>')
needs_kitchen = pytest.mark.skipif(not importlib.util.find_spec("gymnasium_robotics"), reason="no gymnasium_robotics")


def crop(door: list[float], xml: str = SAYS_HOW_FAR, arm: float = 5.0, moving_camera: bool = False) -> Square:
    """Of an episode in which the door goes through these angles, radians; it opens towards -1."""
    recording = toy_recording(len(door), arm=arm, moving_camera=moving_camera)
    qpos = np.stack([door, np.full(len(door), arm)], 1)
    return RecordedScene(replace(recording, qpos=qpos), mujoco.MjModel.from_xml_string(xml)).crop()


# --- a model that says how far its object opens -----------------------------------------------------------------------


def test_the_square_is_the_same_however_far_the_door_came_and_whoever_stood_before_it():
    squares = {crop([0.0]), crop([0.0, -1.0]), crop([-1.5] * 3), crop([0.0], arm=0.0)}
    assert len(squares) == 1
    assert crop([0.0, -0.5, -1.0], DOOR).size == pytest.approx(squares.pop().size, abs=20)


def test_without_a_word_or_before_a_moving_camera_a_clip_keeps_its_own():
    assert crop([0.0, 0.0], DOOR) != crop([0.0, -1.0], DOOR)
    shown = [crop([0.0, last], moving_camera=True) for last in (0.0, -1.0)]
    assert shown[0] != shown[1]
    assert shown == [crop([0.0, last], DOOR, moving_camera=True) for last in (0.0, -1.0)]


# --- a camera looks ---------------------------------------------------------------------------------------------------


def film(path: Path, steps: list[float]) -> Path:
    """A textured thing on a textured ground, moved right by these pixels from frame to frame."""
    scene = Moving(1)
    shift = np.concatenate([[0.0], np.cumsum(steps)])

    def frame(x: float) -> np.ndarray:
        scene.step = np.array([x, 0.0])
        scene.length = 2
        return scene[1]

    write_video(path, (frame(x) for x in shift), np.arange(len(shift)) / 20)
    return path


BOX = (55, 25, 105, 71)


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips: the thing goes 20 pixels to the right, and 10."""
    home = tmp_path_factory.mktemp("demonstrations")
    for name, step in (("far", 2.0), ("near", 1.0)):
        save_clip(track_video(film(home / f"{name}.mp4", [step] * 10), BOX), home / "clips" / name)
    return home / "clips"


def test_a_video_is_seen_in_the_demonstrations_square_whatever_follows(demonstrations, tmp_path):
    like = [load_clip(folder) for folder in clip_folders(demonstrations)]
    video = film(tmp_path / "on.mp4", [1.0] * 6 + [4.0] * 8)
    on, own = track_video(video, BOX, like=like), track_video(video, BOX)
    begun = track_video(video, BOX, stop_s=6.5 / 20, like=like)
    assert begun.crop == on.crop != own.crop and len(begun.times) == 7
    both = [x.crop for x in like]
    right, holds = max(c.left + c.size for c in both), on.crop
    assert holds.left == pytest.approx(min(c.left for c in both), abs=3) and holds.left + holds.size >= right - 3
    assert begun.source.extra[OUTSIDE] == 0 and 0 < on.source.extra[OUTSIDE] <= 8 and OUTSIDE not in own.source.extra
    for t in range(6):
        np.testing.assert_array_equal(Transition.of(begun, t).object, Transition.of(on, t).object)
        np.testing.assert_array_equal(Transition.of(begun, t).delta, Transition.of(on, t).delta)


@pytest.mark.parametrize("follows", [[0.1] * 4, [0.2] * 8, [0.35] * 12])
def test_what_is_a_gap_does_not_depend_on_what_follows_where_the_cameras_rate_is_known(follows):
    """Two demonstrations of 10 Hz; of the video's own steps the median would be another each time."""
    like = [replace(toy_clip(length=5), rate_hz=rate) for rate in (10.0, 10.02)]
    begun = [0.1, 0.1, 0.2, 0.1]
    times = np.cumsum([0.0, *begun, *follows])
    assert gaps_of(times, rate_like(like, times))[:4].tolist() == [False, False, True, False]
    assert rate_like(like, np.arange(9) / 30) == 0 == rate_like((), times), "a video of another rate has its own"


def test_score_says_and_keeps_the_square_and_counts_what_leaves_it(demonstrations, tmp_path, capsys):
    video = film(tmp_path / "on.mp4", [4.0] * 12)
    asked = ["score", "--video", str(video), "--box", "55,25,105,71", "--reward", "any_motion", "--film", "false"]
    assert main([*asked, "--demonstrations", str(demonstrations), "--out", str(tmp_path / "run")]) == 0
    kept = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 0 < kept[OUTSIDE] < 13 and kept["square"]["size"] > 50
    assert f"the demonstrations'; the mask leaves it in {kept[OUTSIDE]} of 13 frames" in capsys.readouterr().out


def test_a_square_that_cannot_be_is_refused_by_name(demonstrations, tmp_path, capsys):
    video = film(tmp_path / "on.mp4", [1.0] * 3)
    like = [load_clip(folder) for folder in clip_folders(demonstrations)]
    with pytest.raises(UserError, match=r"beyond an image of 100 x 60 .* same camera"):
        crop_of_clips(like, (100, 60))
    with pytest.raises(UserError, match="none of 1 clips shows"):
        crop_of_clips([replace(like[0], masks=[np.zeros((256, 256), bool)] * 11)], (160, 120))
    asked = ["score", "--video", str(video), "--box", "55,25,105,71", "--reward", "any_motion"]
    (tmp_path / "empty").mkdir()
    assert main([*asked, "--demonstrations", str(tmp_path / "empty"), "--out", str(tmp_path / "no")]) == 2
    assert "no clips in" in capsys.readouterr().err
    clip = str(next(demonstrations.iterdir()))
    wrong = ["score", "--clip", clip, "--reward", "any_motion", "--demonstrations", str(demonstrations)]
    assert main([*wrong, "--out", str(tmp_path / "no")]) == 2
    assert "goes with --video" in capsys.readouterr().err and not (tmp_path / "no").exists()


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60)), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_the_square_of_clips_is_that_of_their_masks_to_a_pixel(corners):
    """Masks that were cut to each clip's own square and made anew from it."""
    masks = [np.zeros((96, 128), bool) for _ in corners]
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y : y + 30, x : x + 30] = True
    clips = []
    for mask in masks:
        own = crop_of_masks([mask])
        clips.append(replace(toy_clip(length=2), masks=[cut_square(mask, own)] * 2, crop=own))
    ours, theirs = crop_of_clips(clips, (128, 96)), crop_of_masks(masks)
    assert (ours.left, ours.top, ours.size) == pytest.approx((theirs.left, theirs.top, theirs.size), abs=1.5)


# --- the kitchen ------------------------------------------------------------------------------------------------------


@needs_kitchen
@pytest.mark.parametrize("task_name", ["microwave", "hinge", "slide"])
def test_every_way_to_an_episode_s_square_gives_the_task_s_and_view_s(task_name):
    from rl.environments.kitchen.camera import VIEWS
    from rl.environments.kitchen.recording import scene_recording
    from rl.environments.kitchen.scene import build_kitchen
    from rl.environments.kitchen.tasks import find_task
    from rl.environments.kitchen.tracked import square

    task = find_task(task_name)
    for view in list(VIEWS)[::2]:
        qpos = np.repeat(build_kitchen().qpos0[None], 2, 0)
        qpos[1, task.qpos] = task.sign * task.limit  # beyond what we call open
        qpos[1, :7] += 0.3  # the arm
        recording = scene_recording(task, np.array([0.05, 0.02]), qpos, view)
        assert RecordedScene(recording).crop() == square(task, view)


@needs_kitchen
@pytest.mark.parametrize(("goal", "further"), [(0.2, False), (0.9, True)])
def test_a_goal_beyond_what_is_called_open_is_in_the_square_on_every_way_to_it(goal, further):
    """What practice uses, and what an episode recorded for that goal brings along; a nearer one changes nothing."""
    from rl.environments.kitchen.opening import asked_task
    from rl.environments.kitchen.recording import scene_recording
    from rl.environments.kitchen.scene import build_kitchen
    from rl.environments.kitchen.tasks import find_task
    from rl.environments.kitchen.tracked import square
    from rl.environments.setting import OpeningOptions

    own, asked = find_task("microwave"), asked_task("microwave", OpeningOptions(goal_travel=goal))
    for view in ("front", "high"):
        recording = scene_recording(asked, np.zeros(2), build_kitchen().qpos0[None], view)
        assert RecordedScene(recording).crop() == square(asked, view)
        assert (square(asked, view) != square(own, view)) == (further and own.opened < goal)
    for odd in ("x", None, -1, 1e9):
        with pytest.raises(BadClip, match="opened_share is"):
            RecordedScene(replace(recording, extra={"opened_share": odd})).crop()


@needs_kitchen
@pytest.mark.parametrize("task_name", ["microwave", "hinge", "slide"])
def test_the_square_holds_the_object_from_shut_to_open(task_name):
    from rl.environments.kitchen.recording import scene_recording
    from rl.environments.kitchen.scene import build_kitchen
    from rl.environments.kitchen.tasks import find_task
    from rl.environments.kitchen.tracked import square

    task = find_task(task_name)
    grid = np.stack(np.meshgrid(np.arange(0, 640, 8), np.arange(0, 640, 8)), -1).reshape(-1, 2).astype(float)
    qpos = np.repeat(build_kitchen().qpos0[None], 5, 0)
    qpos[:, task.qpos] = task.sign * np.linspace(0, 1.05 * task.opened, 5)
    for view in ("front", "mirrored", "held_out_2"):
        scene = RecordedScene(scene_recording(task, np.zeros(2), qpos, view))
        for t in range(len(qpos)):
            inside = square(task, view).to_crop(grid[scene.object_pixels(grid, t)])
            assert (inside > -0.5).all() and (inside < 255.5).all()


def episode_of(recording: SceneRecording, qpos: np.ndarray) -> Episode:
    """Joints that go through qpos [T+1, nq] before a recording's camera."""
    length = len(qpos)
    times, states, actions = np.arange(length) / 12.5, np.zeros((length, 1)), np.zeros((length - 1, 1))
    seen = replace(recording, qpos=qpos, times=times, camera=recording.camera.standing(length))
    made = {"states": states, "times": times, "executed_actions": actions, "recording": seen}
    return Episode(**made, terminated=False, truncated=True, success=False)


class FromTheImage:
    """A DeltaModel that reads the images: another crop, and it predicts another way."""

    def __call__(self, clip, transitions):
        deltas = []
        for x in transitions:
            image = clip.frames[x.t].mean() + clip.frames[max(x.t - 1, 0)][::3].mean()
            angles = image + np.arange(x.object.sum())
            deltas.append(np.stack([np.cos(angles), np.sin(angles)], -1))
        return deltas


@needs_kitchen
@pytest.mark.gl
@pytest.mark.parametrize("tracker", ["exact", "lucas_kanade"])
def test_the_same_motion_scores_the_same_whatever_follows(tracker):
    """While a policy practises (one renderer for all episodes), and afterwards (`track_episode`)."""
    from mpr.reward.tracked import track_episode
    from rl.environments.kitchen.episodes import attempt_episode
    from rl.environments.kitchen.tasks import HINGE
    from rl.environments.kitchen.tracked import tracked_from

    whole = attempt_episode("hinge", "opening", 600_000, "left")
    assert whole.recording is not None
    stop = int(np.argmax(HINGE.travel(whole.recording.qpos) > 0.5))
    begun = whole.recording.qpos[stop - 3 : stop + 1]
    far, shut = begun[-1:].copy(), begun[-1:].copy()
    far[:, HINGE.qpos], shut[:, HINGE.qpos] = 1.5, 0.0
    ways = tracked_from(HINGE, "left", tracker), partial(track_episode, tracker=tracker)
    scores = []
    for tail in (far[:0], far, np.concatenate([shut, far])):
        episode = episode_of(whole.recording, np.concatenate([begun, tail]))
        scores += [MotionReward(FromTheImage(), way).score(episode)[:3] for way in ways]
    assert scores[0].max() > 0.01
    for score in scores:
        np.testing.assert_array_equal(score, scores[0])
