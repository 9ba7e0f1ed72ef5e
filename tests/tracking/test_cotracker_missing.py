"""What a user of CoTracker3 lacks, and is told: weights, the package, a package of the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from mpr.cli import main as mpr
from mpr.core.errors import MissingWeights, UserError
from tracking.trackers import cotracker as ours
from tracking.trackers.cotracker import load_cotracker
from tracking.trackers.registry import make_tracker

NAMES = ("cotracker3_offline", "cotracker3_online")


@pytest.fixture
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and an empty torch.hub folder below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_say_where_from_under_what_licence_and_what_serves_without(name, nothing_there, capsys):
    with pytest.raises(MissingWeights) as caught:
        make_tracker(name, device="cpu")
    words = str(caught.value)
    assert f"https://huggingface.co/facebook/cotracker3/resolve/main/{ours.COTRACKER_FILES[name]}" in words
    assert "CC-BY-NC 4.0: non-commercial" in words and "lucas_kanade" in words and "\n" not in words
    with pytest.raises(MissingWeights, match=r"at my\.pth:"):
        make_tracker(name, Path("my.pth"), device="cpu")
    for dry_run in ([], ["--dry-run"]):
        asked = ["--video", "v.mp4", "--box", "1,2,3,4", "--tracker", name, "--weights", "my.pth"]
        assert mpr(["track", *asked, *dry_run]) == 2
        assert f"no {name} weights at my.pth" in capsys.readouterr().err
    assert list(nothing_there.iterdir()) == []


def test_weights_are_found_in_weights_and_where_torch_hub_keeps_its_downloads(nothing_there):
    kept = nothing_there / "hub" / "checkpoints" / "scaled_online.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    assert ours.find_weights("cotracker3_online") == kept
    (nothing_there / "weights").mkdir()
    Path("weights/scaled_online.pth").write_bytes(b"x")
    assert ours.find_weights("cotracker3_online") == Path("weights/scaled_online.pth")


HUBCONF = """
import torch
class Predictor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model, self.step = torch.nn.Linear(2, 1), 8
        self.model.window_len = 16
def cotracker3_online(*, pretrained):
    assert not pretrained  # nothing is downloaded
    return Predictor()
"""


def test_without_the_package_torch_hubs_copy_serves_and_without_either_it_says_so(nothing_there, monkeypatch, capsys):
    for module in ("cotracker", "cotracker.predictor"):
        monkeypatch.setitem(sys.modules, module, None)  # as if not installed
    torch.save(torch.nn.Linear(2, 1).state_dict(), "w.pth")
    with pytest.raises(UserError, match=r"package `cotracker`.*or torch\.hub's copy.*CC-BY-NC.*lucas_kanade"):
        load_cotracker("cotracker3_online", Path("w.pth"))
    copy = nothing_there / "hub" / ours.HUB_COPY
    copy.mkdir(parents=True)
    (copy / "hubconf.py").write_text(HUBCONF)
    tracker = load_cotracker("cotracker3_online", Path("w.pth"))
    assert tracker.name == "cotracker3_online" and tracker.context == 16
    assert (tracker.predictor.model.weight == torch.load("w.pth")["weight"]).all()


def test_a_package_that_lacks_a_package_of_its_own_is_not_taken_for_absent(tmp_path, monkeypatch):
    for module in ("cotracker", "cotracker.predictor"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "cotracker").mkdir()
    (tmp_path / "cotracker" / "__init__.py").touch()
    (tmp_path / "cotracker" / "predictor.py").write_text("import nosuchpackage")
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="needs nosuchpackage"):
        load_cotracker("cotracker3_online", tmp_path / "w.pth")


def test_a_tracker_that_needs_no_weights_is_made_without_torch():
    assert make_tracker("lucas_kanade").name == "lucas_kanade"
    with pytest.raises(UserError, match="there is lucas_kanade, cotracker3_offline, cotracker3_online"):
        make_tracker("cotracker9")
