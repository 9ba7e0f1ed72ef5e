"""Skips what this machine cannot run, and says so; what many tests share."""

from __future__ import annotations

import gc
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.fake_franky import World, module
from tests.process_state import MOST_GB, Memory, as_found, peak_gb
from tracking.simulator.gl import INSTRUCTION

# One thread a test process, and for the commands they start: small products on as many threads as cores, in as many
# processes, wait for each other (a test of 3 seconds took 5 minutes beside another busy process).
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

MEMORY = Memory()
DRAWN = "_hypothesis_internal_use_settings"  # where hypothesis keeps the settings of a property test
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RENDER_ONE = """
from tracking.simulator.gl import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(mujoco.MjData(model)); renderer.render()
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests that take minutes")
    parser.addoption(
        "--random-order", type=int, metavar="SEED", help="test files, and the tests of each, in random order"
    )
    parser.addoption("--examples", type=int, default=1, help="so many times the examples of every property test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {}
    if not config.getoption("--slow"):
        skips["slow"] = "takes minutes: run with --slow"
    if not SHARED_DATA.is_dir():
        skips["shared_data"] = "the sample videos (../shared/data) are not on this machine"
    if any(item.get_closest_marker("gl") for item in items) and not _gl_works():
        skips["gl"] = INSTRUCTION
    if (seed := config.getoption("--random-order")) is not None:
        chance = random.Random(seed)
        at = {file: chance.random() for file in sorted({item.path for item in items})}
        items.sort(key=lambda item: (at[item.path], chance.random()))
    for test in {getattr(item, "obj", None) for item in items}:  # one of several parameters once
        if (drawn := getattr(test, DRAWN, None)) is not None:
            more = drawn.max_examples * config.getoption("--examples")
            setattr(test, DRAWN, hypothesis.settings(drawn, max_examples=more))
    for item in items:
        for marker, reason in skips.items():
            if item.get_closest_marker(marker) is not None:  # a keyword may be a parameter that is called so
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """What importing every test has made stays to the end: collecting garbage need not look at it each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # libraries tell of what is left when the process ends


def _gl_works() -> bool:
    # In a process of its own: a broken back end can abort the interpreter.
    known = os.environ.get("MPR_TEST_GL")  # inherited by pytest-xdist workers
    if known is None:
        done = subprocess.run([sys.executable, "-c", RENDER_ONE], capture_output=True, check=False)
        known = os.environ["MPR_TEST_GL"] = "yes" if done.returncode == 0 else "no"
    return known == "yes"


@pytest.fixture(autouse=True)
def process_as_found() -> Iterator[None]:
    """Each test leaves its process as it found it, whatever its own fixtures set."""
    with as_found():
        yield


@pytest.fixture(autouse=True, scope="module")
def process_as_found_by_the_file() -> Iterator[None]:
    """So do the fixtures that a file's tests share, and memory does not grow from file to file."""
    with as_found():
        yield
    MEMORY.let_go()
    if (held := MEMORY.left_gb) > MOST_GB:
        pytest.fail(f"this process holds {held:.2f} GB after these tests, {MOST_GB:g} at most", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    item.user_properties.append(("peak_gb", peak_gb()))
    MEMORY.let_go_if_grown()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which test made the largest of the test processes so large."""
    reports = [one for some in terminalreporter.stats.values() for one in some]
    peaks = [(dict(getattr(one, "user_properties", ())).get("peak_gb", 0.0), one) for one in reports]
    most = max((peak for peak, _ in peaks), default=0.0)
    if most:
        first = next(one.nodeid for peak, one in peaks if peak == most)
        terminalreporter.write_line(f"memory of a test process: {most:.2f} GB at most, in {first}")


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
    from rl.environments.kitchen import with_base
    from rl.environments.kitchen.environment import KitchenEnvironment

    with pytest.MonkeyPatch.context() as patch:
        short = {"step_limit": request.module.STEPS}
        patch.setattr(with_base, "KitchenEnvironment", lambda task, **asked: KitchenEnvironment(task, **asked | short))
        yield


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """An arm behind `import franky`."""
    world = World()
    monkeypatch.setitem(sys.modules, "franky", module(world))  # type: ignore[arg-type]
    return world
