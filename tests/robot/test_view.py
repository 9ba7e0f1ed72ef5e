"""From metres to pixels: by hand, and against the simulator's own camera."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mpr.core.errors import UserError
from rl.environments.kitchen.camera import camera_path
from rl.environments.kitchen.tasks import MICROWAVE
from robot.commands.check_arm import home_line, with_box
from robot.hardware.arm import ArmFeatures, ArmState, Mode
from robot.hardware.pose import Pose
from robot.hardware.view import CameraPlacement, read_view
from robot.safety.limits import Limits, box_edges
from robot.simulated import simulated
from robot.simulated.camera_renderer import WORLD_CAMERA_VIEW

# One metre behind the base's origin, looking along x: its right is -y, its down -z.
QUATERNION = np.array([-0.5, 0.5, -0.5, 0.5])
AHEAD = CameraPlacement(Pose(np.array([-1.0, 0, 0]), QUATERNION), (100.0, 100.0), (63.5, 47.5))


def test_right_is_right_and_down_is_down() -> None:
    points = [(0, 0, 0), (0, -0.5, 0), (0, 0, -0.25), (1, 0.5, 0.5), (-2, 0, 0)]
    found = AHEAD.pixels(points)
    np.testing.assert_allclose(found[:4], [(63.5, 47.5), (113.5, 47.5), (63.5, 72.5), (38.5, 22.5)], atol=1e-9)
    assert np.isnan(found[4]).all(), "behind the camera"


def test_the_box_has_twelve_edges_between_its_corners() -> None:
    limits = Limits(low=(0, 0, 0), high=(1, 2, 3))
    edges = box_edges(limits)
    lengths = np.linalg.norm(edges[:, -1] - edges[:, 0], axis=1)
    assert len(edges) == 12 and sorted(lengths) == [1.0] * 4 + [2.0] * 4 + [3.0] * 4


def test_the_box_is_drawn_where_it_is() -> None:
    limits = Limits(low=(0.5, -0.2, -0.1), high=(0.9, 0.2, 0.1))
    image = with_box(np.zeros((96, 128, 3), np.uint8), AHEAD, limits)
    x, y = np.rint(AHEAD.pixels([(0.5, 0.2, 0.1)])[0]).astype(int)
    assert image[y, x].max() > 150 and image[5, 5].max() == 0


@pytest.mark.parametrize("broken", ["{", '{"position": [0, 0, 0]}', '{"position": [0,0,0], "quaternion": [2,0,0,0]}'])
def test_a_calibration_that_is_none_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "view.json").write_text(broken)
    with pytest.raises(UserError, match=r"view\.json is no calibration"):
        read_view(tmp_path / "view.json")
    with pytest.raises(UserError, match=r"no calibration .* at .*none\.json"):
        read_view(tmp_path / "none.json")


def test_a_calibration_is_read(tmp_path: Path) -> None:
    values = {"position": [-1, 0, 0], "quaternion": QUATERNION.tolist(), "focal": [100, 100], "centre": [63.5, 47.5]}
    (tmp_path / "view.json").write_text(json.dumps(values))
    np.testing.assert_allclose(read_view(tmp_path / "view.json").pixels([(1, 1, 1)]), AHEAD.pixels([(1, 1, 1)]))


@pytest.mark.parametrize(
    ("order", "good", "hint"), [("xyzw", True, False), ("wxyz", False, True), ("other", False, False)]
)
def test_another_order_of_the_quaternion_is_told_at_home(order: str, good: bool, hint: bool) -> None:
    home = Pose(np.array([0.3, 0, 0.5]), np.array([0.8, 0.6, 0.0, 0.0]))
    x, y, z, w = home.quaternion
    said = {"xyzw": (x, y, z, w), "wxyz": (w, x, y, z), "other": (0.5, 0.5, 0.5, 0.5)}[order]
    state = ArmState(Pose(home.position, np.array(said)), np.zeros(7), 0.08, 0.0, Mode.IDLE)
    found = home_line(ArmFeatures("toy", False, home), state)
    assert found.good == good and ("wxyz" in found.text) == hint


def test_the_simulated_camera_s_view_is_the_one_its_images_are_rendered_by() -> None:
    with simulated(size=(240, 320)) as twin:
        twin.operator.begins(5)
        with twin.arm:
            twin.operator.ask("everything back in its place?")
            view, base = twin.cameras[0].features.view, twin.world.measured().base
    points = np.random.default_rng(0).uniform((-0.2, 0.2, -0.2), (0.8, 0.9, 0.6), (20, 3))  # the arm's base's frame
    path = camera_path(MICROWAVE, WORLD_CAMERA_VIEW, 1)
    rendered, _ = path.project(base.rotation.apply(points) + base.position, 0)  # square, of path.width pixels
    square = (rendered + 0.5) * 320 / path.width - 0.5
    assert view is not None and twin.cameras[1].features.view is None and abs(base.position[0]) > 0.01
    np.testing.assert_allclose(view.pixels(points), square - (0, 40), atol=1e-6)
