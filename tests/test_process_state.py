"""What a test leaves behind fails it, by name, and the next test finds none of it."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import rcParams

from rl.policies.diffusion import sizes
from tests import process_state
from tests.process_state import Memory, as_found, state

ROOT = Path(__file__).resolve().parents[1]

LEFT: dict[str, Callable[[], object]] = {
    "signal SIGTERM": lambda: signal.signal(signal.SIGTERM, lambda *_: None),
    "signal SIGINT": lambda: signal.signal(signal.SIGINT, lambda *_: None),
    "variable LEFT": lambda: os.environ.update(LEFT="1"),
    "variable PATH": lambda: os.environ.pop("PATH"),
    "working folder": lambda: os.chdir("/"),
    "sys.excepthook": lambda: setattr(sys, "excepthook", print),
    "numpy's errors": lambda: np.seterr(all="raise"),
    "logging's level": lambda: logging.root.setLevel(1),
    "logging disabled below": lambda: logging.disable(logging.ERROR),
    "torch's threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's type": lambda: torch.set_default_dtype(torch.float64),
    "torch's products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's gradients": lambda: torch.set_grad_enabled(False),
    "torch's determinism": lambda: torch.use_deterministic_algorithms(True),
    "torch's denormals": lambda: torch.set_flush_denormal(True),
    "OpenCV's threads": lambda: cv2.setNumThreads(cv2.getNumThreads() + 1),
    "matplotlib's back end": lambda: rcParams.update(backend="svg"),
    "table rl.policies.diffusion.sizes:POLICY_SIZES": lambda: sizes.POLICY_SIZES.update(
        tiny=sizes.POLICY_SIZES["small"]
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_behind_is_named_and_put_back(name):
    before = state()
    with pytest.raises(pytest.fail.Exception, match=f"left behind in this process: .*{re.escape(name)}: "), as_found():
        LEFT[name]()
    assert state() == before


def test_a_thread_that_does_not_end_is_named(monkeypatch):
    monkeypatch.setattr(process_state, "GRACE", 0.05)
    over = threading.Event()
    with pytest.raises(pytest.fail.Exception, match="thread lingering"), as_found():
        thread = threading.Thread(target=over.wait, name="lingering")
        thread.start()
    over.set()
    thread.join()
    with as_found():  # one that ends soon is waited for
        threading.Timer(0.01, int).start()


def test_every_test_draws_the_same_random_numbers():
    drawn = []
    for _ in range(2):
        with as_found():
            drawn.append((np.random.random(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]


ONLY_THERE = {  # what changes a whole process, and the file that does it and puts it back
    r"set_num_threads": ["mpr/core/processes.py"],
    r"setNumThreads": ["mpr/core/processes.py", "tracking/commands/video_stages.py"],  # the latter in a worker
    r"set_flush_denormal|set_float32_matmul_precision": ["rl/residual/fast/arithmetic.py"],
    r"set_default_dtype|use_deterministic_algorithms|np\.seterr\(|logging\.disable": [],
    r"matplotlib\.use|import pyplot|pyplot as|plt\.": [],
    r"os\.environ(\[[^\]]*\] =|\.setdefault|\.update)": [
        "tracking/simulator/gl.py",  # before MuJoCo is imported, which reads it once
        "mpr/core/processes.py",
        "mpr/core/ray_engine.py",
        "robot/teleop/gamepad.py",
    ],
    r"signal\.signal\(": [
        "mpr/core/beside.py",  # in a process of its own
        "mpr/core/ray_engine.py",
        "robot/interrupt.py",
        "robot/teleop/keys.py",
        "robot/simulated/process.py",  # in a process of its own
    ],
}


@pytest.mark.parametrize("pattern", ONLY_THERE)
def test_what_changes_a_whole_process_stands_where_it_is_put_back(pattern):
    files = [file for package in ("tracking", "mpr", "rl", "robot") for file in (ROOT / package).rglob("*.py")]
    found = [str(file.relative_to(ROOT)) for file in files if re.search(pattern, file.read_text())]
    assert sorted(found) == sorted(ONLY_THERE[pattern])


def test_a_process_that_stays_large_lets_go_once_until_it_grows(monkeypatch):
    held, let_go = iter((1.5, 1.7, 1.65, 1.7, 1.74, 1.76, 1.9, 1.2, 1.7, 1.2)), []
    monkeypatch.setattr(process_state, "memory_gb", lambda: next(held))
    monkeypatch.setattr(process_state, "let_go", lambda: let_go.append(None))
    memory, times = Memory(), []
    for after in ("test", "test", "test", "test", "test", "file", "test"):
        memory.let_go() if after == "file" else memory.let_go_if_grown()
        times.append(len(let_go))
    assert times == [0, 1, 1, 1, 2, 3, 4], "after a file has let go, the next test need not grow beyond what was held"
