"""The kitchen as a recording sees it: FrankaKitchen-v1's model for rendering and rays, the robot where it stood.

Not the model that physics runs in (that is `environment.py`'s): here the arm's visual meshes are simplified and the
lights set for rendering without shadows. Joint order is the same, so a recorded qpos poses both alike. Its keyframes
say how far each task's object opens: one square for all its episodes is made of that.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpr.core.errors import UserError
from rl.environments.kitchen.tasks import KITCHEN_TASKS, Task, find_task
from tracking.simulator.gl import mujoco

ROBOT_BASE = 1  # the nameless body that carries the robot's stand and the arm
ARM_MESHES = ("link", "hand", "finger")  # visual meshes of the arm are named link0_viz ... finger_viz
CELL = 0.012  # metres: vertices of the arm's meshes that share a cell of this size become one
OVEN_LIGHT = 3  # paints a bright cone on the burners once shadows are off


def model_path() -> Path:
    """FrankaKitchen-v1's MJCF file in the installed gymnasium_robotics (found without importing it)."""
    spec = find_spec("gymnasium_robotics")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the kitchen needs gymnasium_robotics", name="gymnasium_robotics")
    assets = Path(spec.submodule_search_locations[0]) / "envs" / "assets"
    return assets / "kitchen_franka" / "kitchen_assets" / "kitchen_env_model.xml"


def build_kitchen(base_offset: Sequence[float] = (0.0, 0.0)) -> Any:
    """mujoco.MjModel of the kitchen with the robot's base moved by (x, y) metres: the scene `kitchen`."""
    model = copy.copy(_compiled())
    move_base(model, base_offset)
    return model


def move_base(model: Any, base_offset: Sequence[float]) -> None:
    """Put the robot `base_offset` (x, y) metres from where the kitchen was compiled with it."""
    model.body_pos[ROBOT_BASE, :2] = base_offset


@lru_cache(maxsize=1)
def _compiled() -> Any:
    path = str(model_path())
    stock = mujoco.MjModel.from_xml_path(path)
    spec = mujoco.MjSpec.from_file(path)
    for mesh in spec.meshes:
        if mesh.name.endswith("_viz") and mesh.name.startswith(ARM_MESHES):
            vertices, faces = _simplified(*_mesh(stock, mesh.name))
            mesh.file = ""
            mesh.uservert, mesh.userface = vertices.ravel(), faces.ravel()
    for task in _tasks():
        opened = stock.qpos0.copy()
        opened[task.qpos] = task.sign * task.opened
        spec.add_key(name=task.part_bodies[task.moving], qpos=opened.tolist())
    model = spec.compile()
    model.light_active[OVEN_LIGHT] = 0
    return model


def _tasks() -> Iterator[Task]:
    """All that can be imported: another package's that cannot is refused where it is asked for."""
    for name in KITCHEN_TASKS.names():
        with suppress(UserError):
            yield find_task(name)


def _mesh(model: Any, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices [V, 3], in the frame of the mesh's file, and faces [F, 3] of a compiled mesh."""
    i = model.mesh(name).id
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.mesh_quat[i])
    vertices = model.mesh_vert[model.mesh_vertadr[i] :][: model.mesh_vertnum[i]]
    faces = model.mesh_face[model.mesh_faceadr[i] :][: model.mesh_facenum[i]]
    vertices = vertices @ rotation.reshape(3, 3).T + model.mesh_pos[i]
    return vertices.astype(float), faces.astype(np.int64)


def _simplified(vertices: NDArray, faces: NDArray, cell: float = CELL) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertex clustering: the vertices of a cell become their mean; faces that lost a corner, and doubles, go."""
    cells = np.floor(vertices / cell).astype(int)
    _, cluster, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), 3))
    np.add.at(means, cluster.ravel(), vertices)
    means /= counts[:, None]
    faces = cluster.ravel()[faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[whole]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return means, faces[np.sort(first)].astype(np.int32)
