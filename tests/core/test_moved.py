"""What moved is found under its old name, once: the same module, with a warning."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

import robot  # installs the old names  # noqa: F401
from mpr.core.moved import MOVED_MODULES, new_name

OLD = (
    "from rl.residual.environment import ResidualEnvironment",
    "from rl.residual.algorithm import ResidualSAC",
    "from rl.kitchen.environment import KitchenEnvironment",
    "from tracking.video import VideoFrames",
    "from tracking.store import load_clip",
    "from tracking.points import Transition",
    "from mpr.samples import retimed",
    "from tracking.from_video import stretch_of",
    "from tracking.sources.manifest import read_manifest",
    "from tracking.sources.videos import probe",
)


def test_a_script_of_before_the_move_runs() -> None:
    """In a process that has imported nothing yet, in the order that scripts have their lines in."""
    same = "import rl.environments.residual as new; assert new.ResidualEnvironment is ResidualEnvironment"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join((*OLD, same))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("old", sorted(MOVED_MODULES))
def test_an_old_name_is_the_new_module(old: str) -> None:
    new = new_name(old)
    assert new is not None
    sys.modules.pop(old, None)
    try:
        with pytest.warns(DeprecationWarning, match=new):
            assert importlib.import_module(old) is importlib.import_module(new)
    except ModuleNotFoundError as error:
        assert str(error.name).split(".")[0] not in ("mpr", "tracking", "rl", "robot"), "not an extra"


def test_what_did_not_move_is_left_alone() -> None:
    for name in ("rl.residual", "rl.residual.algorithm", "mpr.core", "tracking.sources", "robot.safety.guard", "numpy"):
        assert new_name(name) is None
    assert new_name("rl.kitchen.tasks") == "rl.environments.kitchen.tasks"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.import_module("rl.residual.returns")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("rl.kitchen.nothing_of_the_kind")
