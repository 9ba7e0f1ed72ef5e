"""Imports MuJoCo with an OpenGL back end that this machine has; `from tracking.simulator.gl import mujoco` everywhere.

MuJoCo reads MUJOCO_GL once, at import, so the choice has to come first. The user's own MUJOCO_GL wins. Without any
back end MuJoCo is imported with rendering disabled: physics and ray casts still work.
"""

import ctypes.util
import importlib
import os
from typing import Any

INSTRUCTION = (
    "no OpenGL back end works here, so nothing can be rendered: install one of Debian's/Ubuntu's "
    "'libegl1 libgl1' or 'libosmesa6' packages (ask your administrator if you cannot), or set MUJOCO_GL=egl|osmesa|glfw"
)


def available_backend() -> str:
    """egl, osmesa or disable: the first whose libraries are on this machine. A rendered frame is the real test."""
    find = ctypes.util.find_library
    if find("EGL") and (find("GL") or find("OpenGL")):
        return "egl"
    return "osmesa" if find("OSMesa") else "disable"


os.environ.setdefault("MUJOCO_GL", available_backend())

mujoco: Any = importlib.import_module("mujoco")  # Any: the compiled module has no type stubs

__all__ = ["INSTRUCTION", "available_backend", "mujoco"]
