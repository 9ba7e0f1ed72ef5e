"""Skips what this machine cannot run, and says so; what many tests share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.fake_franky import World, module
from tracking.gl import INSTRUCTION

# One thread a test process, and for the commands they start: small products on as many threads as cores, in as many
# processes, wait for each other (a test of 3 seconds took 5 minutes beside another busy process).
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RENDER_ONE = """
from tracking.gl import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(mujoco.MjData(model)); renderer.render()
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {}
    if not config.getoption("--slow"):
        skips["slow"] = "takes minutes: run with --slow"
    if not SHARED_DATA.is_dir():
        skips["shared_data"] = "the sample videos (../shared/data) are not on this machine"
    if any(item.get_closest_marker("gl") for item in items) and not _gl_works():
        skips["gl"] = INSTRUCTION
    for item in items:
        for marker, reason in skips.items():
            if item.get_closest_marker(marker) is not None:  # a keyword may be a parameter that is called so
                item.add_marker(pytest.mark.skip(reason=reason))


def _gl_works() -> bool:
    # In a process of its own: a broken back end can abort the interpreter.
    known = os.environ.get("MPR_TEST_GL")  # inherited by pytest-xdist workers
    if known is None:
        done = subprocess.run([sys.executable, "-c", RENDER_ONE], capture_output=True, check=False)
        known = os.environ["MPR_TEST_GL"] = "yes" if done.returncode == 0 else "no"
    return known == "yes"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return SHARED_DATA


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights come from folders: whoever asks the network fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def short_episodes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Episodes with a base policy end after the module's STEPS steps."""
    from rl.kitchen import with_base
    from rl.kitchen.environment import KitchenEnvironment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_base, "KitchenEnvironment", partial(KitchenEnvironment, step_limit=request.module.STEPS))
        yield


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """An arm behind `import franky`."""
    world = World()
    monkeypatch.setitem(sys.modules, "franky", module(world))  # type: ignore[arg-type]
    return world
