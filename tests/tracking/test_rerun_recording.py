"""Recordings for the viewer rerun: whole, and read back by its own tool. Skipped where rerun-sdk is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpr.cli import main as mpr
from tests.toy_clips import toy_clip
from tracking.clips.rerun_recording import save_recording


def test_every_frame_is_there(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk, the extra `viewer`, is not installed")
    clip = toy_clip(0)
    save_recording(clip, tmp_path / "clip.rrd")
    told = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", "-v", str(tmp_path / "clip.rrd")],
        capture_output=True,
        text=True,
    ).stdout
    for what in ("frame", "mask", "object", "background", "motion/raw", "motion/compensated"):
        assert re.search(rf"/clip/{what}\b", told), what


def test_without_the_package_it_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("tracking.clips.config.find_spec", lambda name: None)
    asked = ["track", "--video", "a.mp4", "--box", "1,2,30,40", "--rerun", "--out", str(tmp_path / "no")]
    assert mpr(asked) == 2
    assert "need the package rerun-sdk" in capsys.readouterr().err and not (tmp_path / "no").exists()
