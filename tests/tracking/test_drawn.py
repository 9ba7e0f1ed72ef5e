"""What is left out of drawing, for speed, would not have been seen; masks are those of MuJoCo's own segmentation."""

from __future__ import annotations

import numpy as np
import pytest

from mpr.core.data.clip import Square
from tests.tracking.test_rays import kitchen, needs_kitchen, synthetic
from tests.tracking.test_segments import Forgetful
from tests.tracking.test_tracking import SOURCE
from tracking.clips.from_recording import recorded_clip
from tracking.simulator.gl import mujoco
from tracking.simulator.mujoco_render import SceneRenderer
from tracking.simulator.mujoco_scene import ExactTracker, RecordedScene

pytestmark = pytest.mark.gl


def own_mask(renderer: SceneRenderer, t: int) -> np.ndarray:
    """By MuJoCo's own way from colours to things."""
    renderer._update(t, renderer._there)
    renderer._renderer.enable_segmentation_rendering()
    number, kind = np.moveaxis(renderer._renderer.render(), 2, 0)
    renderer._renderer.disable_segmentation_rendering()
    mask = (kind == int(mujoco.mjtObj.mjOBJ_GEOM)) & renderer.scene.object_geoms[np.maximum(number, 0)]
    return mask[:, ::-1] if renderer.scene.recording.camera.mirrored else mask


def assert_all_that_shows_is_drawn(scene: RecordedScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the crop and in a small square at each of its corners, where most of the scene is beside what is seen."""
    crop = scene.crop()
    small = crop.size / 8
    edges = [(left, top) for left in (0, crop.size - small) for top in (0, crop.size - small)]
    for square in (crop, *(Square(crop.left + left, crop.top + top, small) for left, top in edges)):
        with SceneRenderer(scene, square, 64) as renderer:
            last = len(scene.recording) - 1
            quick = [(renderer.frame(t), renderer.mask(t)) for t in (0, last)]
            drawn = renderer._renderer.scene.ngeom
            with monkeypatch.context() as patch:
                patch.setattr(renderer, "_outside", lambda: np.zeros(scene.model.ngeom, bool))
                whole = [(renderer.frame(t), own_mask(renderer, t)) for t in (0, last)]
                assert drawn < renderer._renderer.scene.ngeom or square is crop
        for (frame, mask), (all_of_it, mask_of_all) in zip(quick, whole, strict=True):
            assert frame.tobytes() == all_of_it.tobytes() and np.array_equal(mask, mask_of_all)


@needs_kitchen
@pytest.mark.parametrize("view", ["front", "mirrored"])
def test_the_kitchen_beside_the_crop_need_not_be_drawn(view, monkeypatch):
    assert_all_that_shows_is_drawn(kitchen("microwave", view), monkeypatch)


def test_a_clip_tracked_by_another_tracker_has_no_exact_tracks_made(monkeypatch):
    monkeypatch.delattr(ExactTracker, "frame_by_frame")
    recording = synthetic("open_microwave", 10_015).recording
    tracker = Forgetful({})
    with recorded_clip(recording, SOURCE, tracker=tracker) as clip:
        assert sum(len(segment.points) - 1 for segment in clip.segments) == len(recording) - 1
    assert tracker.calls


def test_the_synthetic_scene_beside_the_crop_need_not_be_drawn(monkeypatch):
    assert_all_that_shows_is_drawn(synthetic("open_hinge_cabinet", 10_007), monkeypatch)
