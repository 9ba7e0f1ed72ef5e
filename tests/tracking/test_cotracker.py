"""CoTracker3 behind the PointTracker Protocol: equal to the library's own predictor."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mpr.core.data.clip import Tracks
from mpr.core.errors import UserError
from tracking.motion.segments import grid_points, track_segments
from tracking.trackers import cotracker as ours
from tracking.trackers.cotracker import CoTracker, load_cotracker

NAMES = ("cotracker3_offline", "cotracker3_online")
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("cotracker") is None, reason="the package `cotracker` is not installed (CC-BY-NC)"
)
WINDOW = 12  # frames, of the small models here; the published ones see 60 and 16
H, W = 96, 160  # not square
QUERIES = np.array([[0, 20, 30], [0, 150, 10], [2, 141, 88], [0, 3, 77], [4, 66, 50]], np.float32)  # (t, x, y)


def video(length: int, seed: int = 0, height: int = H, width: int = W) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), dtype=np.uint8))


# The library, with small models of its own classes and random weights


def small_model(online: bool, seed: int) -> torch.nn.Module:
    from cotracker.models.core.cotracker import cotracker3_online as library
    from cotracker.models.core.cotracker.blocks import Mlp
    from cotracker.models.core.cotracker.cotracker import EfficientUpdateFormer
    from cotracker.models.core.cotracker.cotracker3_offline import CoTrackerThreeOffline

    torch.manual_seed(seed)
    with pytest.MonkeyPatch.context() as patch:  # parts of the same kinds with fewer weights
        former = EfficientUpdateFormer(1, 1, 1110, 48, 1, 4, 2.0, 4, linear_layer_for_vis_conf=True)
        patch.setattr(library, "EfficientUpdateFormer", lambda **_: former)
        patch.setattr(library, "Mlp", lambda **_: Mlp(in_features=3**4, hidden_features=32, out_features=256))
        kind = library.CoTrackerThreeOnline if online else CoTrackerThreeOffline
        model = kind(window_len=WINDOW, stride=4, corr_radius=1, model_resolution=(48, 64), num_virtual_tracks=4)
    torch.nn.init.normal_(model.corr_mlp.fc2.weight, std=3.0)  # so that points differ by what is seen there,
    torch.nn.init.normal_(former.flow_head.weight, std=0.02)  # move by pixels, not by a fresh model's thousandths,
    torch.nn.init.normal_(former.vis_conf_head.weight, std=1.0)  # and are hidden now and then
    torch.nn.init.constant_(former.vis_conf_head.bias, -5.0)
    return model


@pytest.fixture(scope="module")
def trackers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[CoTracker, torch.nn.Module]]]:
    """By name: our tracker, loaded from a file, and the library's predictor with the same weights."""
    import cotracker.predictor as library

    folder = tmp_path_factory.mktemp("weights")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            online = name == "cotracker3_online"
            torch.save(small_model(online, seed=4).state_dict(), folder / ours.COTRACKER_FILES[name])
            patch.setattr(library, "build_cotracker", lambda *_, online=online, **__: small_model(online, seed=2))
            tracker = load_cotracker(name, folder / ours.COTRACKER_FILES[name])
            patch.setattr(library, "build_cotracker", lambda *_, online=online, **__: small_model(online, seed=4))
            kind = library.CoTrackerOnlinePredictor if online else library.CoTrackerPredictor
            found[name] = tracker, kind(None)
        yield found


def by_library(predictor, name: str, frames, queries) -> Tracks:
    """The library called as its README calls it, on a whole video."""
    clip = torch.tensor(np.stack(frames)).permute(0, 3, 1, 2)[None].float()  # [1, T, 3, H, W]
    asked = torch.tensor(queries)[None]
    if name == "cotracker3_offline":
        points, visible = predictor(clip, queries=asked)
    else:
        predictor(video_chunk=clip, is_first_step=True, queries=asked)
        for start in range(0, max(len(frames) - predictor.step, 1), predictor.step):
            points, visible = predictor(video_chunk=clip[:, start : start + 2 * predictor.step])
    return Tracks(points[0].numpy(), visible[0].numpy())


def same_after_the_query(found: Tracks, expected: Tracks, queries) -> None:
    """Bit for bit from each query's frame on; before it hidden, at the query's place."""
    for i, (t, x, y) in enumerate(queries):
        t = int(t)
        assert (found.points[t:, i] == expected.points[t:, i]).all()
        assert (found.visible[t:, i] == expected.visible[t:, i]).all()
        assert not found.visible[:t, i].any() and (found.points[:t, i] == (x, y)).all()


@needs_package
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [5, WINDOW])
def test_tracks_are_the_librarys_own_on_a_video_that_is_not_square(trackers, name, length):
    tracker, predictor = trackers[name]
    frames = video(length)
    found = tracker.track(frames, QUERIES)
    expected = by_library(predictor, name, frames, QUERIES)
    same_after_the_query(found, expected, QUERIES)
    assert found.points.dtype == np.float32 and found.visible.dtype == np.bool_
    moved = np.abs(expected.points - QUERIES[:, 1:]).max((0, 1))
    assert (moved > 0.5).all(), "a model that moves nothing would show nothing"


@needs_package
@pytest.mark.parametrize("length", [1, 6, 7, 13, 18, 20])
def test_streamed_chunks_are_the_librarys_at_lengths_that_are_no_multiples_of_them(trackers, length):
    """Also where a chunk is short: the library repeats its last frame and drops what it says of the repeats."""
    tracker, predictor = trackers["cotracker3_online"]
    frames, queries = video(length), QUERIES[[0, 1, 3]]
    found = tracker.track(frames, queries)
    assert found.points.shape == (length, 3, 2)
    same_after_the_query(found, by_library(predictor, "cotracker3_online", frames, queries), queries)
    step = predictor.step
    padded = frames + frames[-1:] * ((-length) % step if length > 2 * step else max(2 * step - length, 0))
    whole = by_library(predictor, "cotracker3_online", padded, queries)
    np.testing.assert_allclose(found.points, whole.points[:length], atol=1e-3)


@needs_package
def test_some_points_are_seen_and_some_are_not(trackers):
    """What is compared elsewhere is not all one value."""
    for name, (tracker, _) in trackers.items():
        share = tracker.track(video(WINDOW), np.insert(grid_points(H, 6), 0, 0, 1)).visible[1:].mean()
        assert 0.3 < share < 0.95, name


@needs_package
def test_a_long_clip_is_the_library_on_windows_that_overlap(trackers):
    tracker, predictor = trackers["cotracker3_offline"]
    frames, queries = video(WINDOW + 5), QUERIES[[0, 1, 3]]
    found = tracker.track(frames, queries)
    first = by_library(predictor, "cotracker3_offline", frames[:WINDOW], queries)
    enters = np.array([np.flatnonzero(first.visible[:, i])[-1] for i in range(3)])
    assert (enters >= 5).any(), "none goes on into the second window"
    again = np.array([[max(t - 5, 0), *first.points[max(t, 5), i]] for i, t in enumerate(enters)], np.float32)
    second = by_library(predictor, "cotracker3_offline", frames[5:], again)
    for i, t in enumerate(enters):
        assert (found.points[: t + 1, i] == first.points[: t + 1, i]).all()
        if t >= 5:
            assert (found.points[t + 1 :, i] == second.points[t - 4 :, i]).all()
            assert (found.visible[t + 1 :, i] == second.visible[t - 4 :, i]).all()
        else:
            assert not found.visible[t + 1 :, i].any()


@needs_package
@pytest.mark.parametrize("name", NAMES)
def test_segments_are_cut_from_the_librarys_tracks(trackers, name):
    """Each segment's grid starts on its own first frame, in frames enough for the model, before and after it."""
    tracker, predictor = trackers[name]
    frames = video(WINDOW + 3, height=64, width=64)
    masks = [np.ones((64, 64), bool)] * len(frames)
    segments = track_segments(tracker, frames, masks, grid=3)  # type: ignore[arg-type]
    assert len(segments) > 1
    for segment in segments:
        begin = max(0, min(segment.start, len(frames) - WINDOW))
        stretch = frames[begin : begin + WINDOW]
        queries = np.insert(grid_points(64, 3), 0, segment.start - begin, 1)
        expected = by_library(predictor, name, stretch, queries)
        here = slice(segment.start - begin, segment.stop - begin + 1)
        assert (segment.points == expected.points[here]).all()
        assert (segment.visible == expected.visible[here]).all()


@needs_package
@pytest.mark.parametrize("name", NAMES)
def test_clips_together_are_as_each_alone(trackers, name):
    tracker, _ = trackers[name]
    clips, asked = [video(7, seed) for seed in range(3)], [QUERIES + np.float32([0, shift, 0]) for shift in (0, 5, -3)]
    together = tracker.track_batch(clips, asked)
    for clip, queries, found in zip(clips, asked, together, strict=True):
        alone = tracker.track(clip, queries)
        np.testing.assert_allclose(found.points, alone.points, atol=1e-3)
        assert (found.visible == alone.visible).all()


@needs_package
def test_loading_fills_in_the_files_weights_and_leaves_torchs_random_numbers(trackers, tmp_path, monkeypatch, capsys):
    import cotracker.predictor as library

    monkeypatch.setattr(library, "build_cotracker", lambda *_, **__: small_model(False, seed=3))
    torch.save({"model": small_model(False, seed=4).state_dict()}, tmp_path / "w.pth")  # as training saves them
    ours._say_licence.cache_clear()
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    tracker = load_cotracker("cotracker3_offline", tmp_path / "w.pth")
    assert (torch.rand(2) == expected).all()
    wanted = torch.load(tmp_path / "w.pth")["model"]
    assert all((value == wanted[key]).all() for key, value in tracker.predictor.model.state_dict().items())
    assert tracker.context == WINDOW and not tracker.predictor.model.training
    load_cotracker("cotracker3_offline", tmp_path / "w.pth")
    assert capsys.readouterr().err.count("CC-BY-NC 4.0") == 1


class Touches:
    """Unpickled, it runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@needs_package
def test_a_file_that_is_not_this_models_is_refused(tmp_path, monkeypatch):
    import cotracker.predictor as library

    monkeypatch.setattr(library, "build_cotracker", lambda *_, **__: small_model(True, seed=3))
    other = small_model(True, seed=3).state_dict()
    other["time_emb"] = torch.zeros(1, 5 * WINDOW, 1110)  # as the offline model's differs from the online one's
    torch.save(other, tmp_path / "other.pth")
    torch.save(["no weights"], tmp_path / "list.pth")
    torch.save(Touches(tmp_path / "ran"), tmp_path / "code.pth")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:3000])
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("other", "list", "code", "torn", "empty"):
        with pytest.raises(UserError, match=rf"{name}.pth is not scaled_online.pth"):
            load_cotracker("cotracker3_online", tmp_path / f"{name}.pth")
    assert not (tmp_path / "ran").exists()
