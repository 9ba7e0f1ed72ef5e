"""Lucas–Kanade, masks from a box, re-timing, and `mpr track`, on small videos drawn here."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from tracking import again
from tracking.box_mask import CarriedMasks, backwards, check_box
from tracking.clip import CROP_SIZE
from tracking.compensation import mean_background, object_motion
from tracking.errors import BadVideo, UserError
from tracking.from_video import track_video
from tracking.lucas_kanade import LucasKanade
from tracking.points import Transition
from tracking.retime import pick_frames
from tracking.store import clip_digest, clip_folders, load_clip, save_clip
from tracking.video import write_video

H, W = 96, 160  # not square


def texture(seed: int, h: int, w: int) -> np.ndarray:
    """Smooth random texture, uint8 [h, w, 3], around a colour of its own."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(70, 180, 3) + np.zeros((h, w, 3))
    for cell in (4, 9):
        coarse = rng.normal(0, 28, (h // cell + 2, w // cell + 2, 1)).astype(np.float32)
        image += cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
    return image.clip(0, 255).astype(np.uint8)


def shifted(image: np.ndarray, dx: float, dy: float, h: int, w: int) -> np.ndarray:
    """The h x w picture whose pixel (x, y) shows the image's (x - dx, y - dy), 20 pixels in."""
    matrix = np.array([[1, 0, 20 - dx], [0, 1, 20 - dy]], float)
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)


def queries(points) -> np.ndarray:
    return np.array([[0, x, y] for x, y in points], np.float32)


# Lucas-Kanade

INTERIOR = [(x, y) for x in range(30, 131, 20) for y in range(30, 67, 12)]


@pytest.mark.parametrize("step", [(3.4, -1.2), (-7.0, 4.5), (0.3, 0.2)])
def test_points_follow_a_moving_texture_in_x_and_y(step):
    image = texture(0, H + 40, W + 40)
    frames = [shifted(image, *(np.array(step) * t), H, W) for t in range(4)]
    tracks = LucasKanade().track(frames, queries(INTERIOR))  # type: ignore[arg-type]
    expected = np.array(INTERIOR) + np.arange(4)[:, None, None] * np.array(step)
    inside = ((expected > 12) & (expected < (W - 12, H - 12))).all((0, 2))
    assert tracks.visible[:, inside].all() and inside.sum() > 8
    assert np.abs(tracks.points - expected)[:, inside].max() < 0.15


def test_a_flat_patch_and_a_straight_edge_are_hidden_from_the_start():
    image = np.full((H, W, 3), 90, np.uint8)
    image[:, 80:] = 200  # an edge: motion along it cannot be seen
    image[20:40, 20:40] = texture(1, 20, 20)
    frames = [image] * 3
    tracks = LucasKanade().track(frames, queries([(60, 70), (80, 60), (30, 30), (-5, 10), (400, 10)]))  # type: ignore[arg-type]
    assert tracks.visible.tolist() == [[False, False, True, False, False]] * 3
    assert np.isfinite(tracks.points).all()


def test_a_point_that_leaves_the_picture_is_hidden():
    image = texture(2, H + 40, W + 100)
    frames = [shifted(image, 6.0 * t, 0, H, W) for t in range(10)]
    tracks = LucasKanade().track(frames, queries([(130, 48), (40, 48)]))  # type: ignore[arg-type]
    assert tracks.visible[0].all() and not tracks.visible[6:, 0].any() and tracks.visible[:, 1].all()
    last = int(np.flatnonzero(tracks.visible[:, 0])[-1])
    assert (tracks.points[last:, 0] == tracks.points[last, 0]).all()  # where it was last seen


def test_nothing_re_attaches_after_occlusion():
    image = texture(3, H, W)
    covered = image.copy()
    covered[20:76, 60:110] = texture(9, 56, 50)
    frames = [image, image, covered, covered, image, image]
    tracks = LucasKanade().track(frames, queries([(85, 48), (30, 48)]))  # type: ignore[arg-type]
    assert tracks.visible[:, 0].tolist() == [True, True, False, False, False, False]
    assert tracks.visible[:, 1].all()
    assert np.isfinite(tracks.points).all()


def test_a_cut_hides_what_it_replaces():
    frames = [texture(4, H, W), texture(5, H, W)]
    tracks = LucasKanade().track(frames, queries(INTERIOR))  # type: ignore[arg-type]
    assert tracks.visible[1].mean() < 0.1


def test_a_query_on_a_later_frame_is_hidden_before_it():
    image = texture(6, H + 40, W + 40)
    frames = [shifted(image, 2.0 * t, 0, H, W) for t in range(5)]
    tracks = LucasKanade().track(frames, np.array([[2, 60, 48], [0, 60, 48]], np.float32))  # type: ignore[arg-type]
    assert tracks.visible[:, 0].tolist() == [False, False, True, True, True]
    assert tracks.points[4, 0] == pytest.approx((64, 48), abs=0.1)
    assert tracks.points[4, 1] == pytest.approx((68, 48), abs=0.1)


def arm_over_boxes(t: int) -> np.ndarray:
    """A still object of flat colours with a few straight edges; a bar passes in front of it, slanted."""
    image = np.full((256, 256, 3), (150, 110, 60), np.uint8)
    for x0, y0, x1, y1, colour in ((60, 60, 200, 190, (60, 90, 150)), (80, 80, 130, 150, (120, 60, 140))):
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, -1, cv2.LINE_AA)
    cv2.rectangle(image, (150, 75), (180, 170), (70, 150, 120), -1, cv2.LINE_AA)
    bar = np.array([[-40, -20], [-10, -20], [60, 280], [30, 280]], float) + np.array([6.3 * t, 0])
    cv2.fillConvexPoly(image, np.rint(bar * 16).astype(np.int32), (200, 190, 180), cv2.LINE_AA, shift=4)
    noise = np.random.default_rng(t).normal(0, 1.0, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def share_dragged_along(tracker: LucasKanade) -> float:
    """Share of tracked points of the still object that seem to move by half a pixel or more, over 16 transitions."""
    grid = [(x, y) for x in range(2, 256, 4) for y in range(2, 256, 4)]
    moved, seen = 0, 0
    for start in range(4, 32, 8):
        frames = [arm_over_boxes(start + t) for t in range(5)]
        tracks = tracker.track(frames, queries(grid))  # type: ignore[arg-type]
        for t in range(4):
            bar = np.abs(frames[t].astype(int) - (200, 190, 180)).max(-1) < 8
            bar = cv2.dilate(bar.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # its blended edge is no object
            x, y = np.rint(tracks.points[t]).astype(int).T
            on_object = (x >= 60) & (x <= 200) & (y >= 60) & (y <= 190) & ~bar[y.clip(0, 255), x.clip(0, 255)]
            both = tracks.visible[t] & tracks.visible[t + 1] & on_object
            step = np.linalg.norm(tracks.points[t + 1] - tracks.points[t], axis=1)
            moved, seen = moved + int((step[both] >= 0.5).sum()), seen + int(both.sum())
    assert seen > 200
    return moved / seen


def test_a_passing_arm_drags_few_points_of_a_still_object_along():
    """Corners between the arm's edge and the object's edges move with the arm, and look the same as they go."""
    believing = LucasKanade(worse=0.0, noise=-1.0)  # believes every displacement
    assert share_dragged_along(believing) > 0.15
    assert share_dragged_along(LucasKanade()) < 0.02


# Masks from a box

OBJECT = np.array([60.0, 30.0, 100.0, 66.0])  # x0, y0, x1, y1 on frame 0


class Moving:
    """A red textured object moves over a green textured background; frames are drawn when asked for."""

    def __init__(self, length: int, step=(1.5, 0.5), pan=(0.0, 0.0), hand: bool = False) -> None:
        self.length, self.step, self.pan, self.hand = length, np.array(step), np.array(pan), hand
        self.ground = texture(11, 2 * H, 2 * W) // 2
        self.ground[..., 1] += 90
        self.thing = texture(12, H, W) // 2
        self.thing[..., 0] += 120

    def __len__(self) -> int:
        return self.length

    def box(self, t: int) -> np.ndarray:
        return OBJECT + np.tile((self.step + self.pan) * t, 2)

    def mask(self, t: int) -> np.ndarray:
        x0, y0, x1, y1 = self.box(t)
        y, x = np.mgrid[:H, :W]
        return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)

    def __getitem__(self, t: int) -> np.ndarray:
        assert 0 <= t < self.length
        image = shifted(self.ground, *(self.pan * t), H, W)
        thing = shifted(self.thing, *((self.step + self.pan) * t), H, W)
        image = np.where(self.mask(t)[..., None], thing, image)
        if self.hand:
            cv2.circle(image, (round(140 - 6 * t), 50), 12, (240, 215, 60), -1, cv2.LINE_AA)
        return image.astype(np.uint8)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_a_box_becomes_a_mask_and_is_carried_both_ways():
    scene = Moving(12)
    masks = CarriedMasks(scene, scene.box(6) + np.array([-5, -4, 5, 4]), box_frame=6)
    assert len(masks) == 12
    for t in (11, 0, 6, 3):
        assert masks[t].shape == (H, W) and masks[t].dtype == np.bool_
        assert overlap(masks[t], scene.mask(t)) > 0.85, t
    with pytest.raises(IndexError):
        masks[12]


def test_a_hand_in_front_is_left_out_and_what_it_covered_comes_back():
    scene = Moving(14, step=(0.0, 0.0), hand=True)
    masks = CarriedMasks(scene, OBJECT + np.array([-4, -4, 4, 4]))
    y, x = np.mgrid[:H, :W]
    covering = 8  # the hand's centre is at x = 92
    hand = (x - 92) ** 2 + (y - 50) ** 2 < 9**2
    assert masks[covering][hand].mean() < 0.15
    assert overlap(masks[0], scene.mask(0)) > 0.85
    assert overlap(masks[covering], scene.mask(covering) & ~hand) > 0.7


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((10, 10, 10, 40), "empty"),
        ((40, 10, 10, 40), "empty"),
        ((200, 10, 260, 40), "outside the image, which is 160 x 96"),
        ((-50, 10, -3, 40), "outside"),
        ((20, 20, 25, 60), "6 x 41 pixels"),
        ((-50, 20, 4, 60), "5 x 41 pixels"),
    ],
)
def test_a_bad_box_is_refused_by_name(box, words):
    with pytest.raises(UserError, match=words):
        check_box(box, W, H)
    with pytest.raises(UserError, match=words):
        CarriedMasks(Moving(2), box)


def test_a_box_that_reaches_over_the_border_is_cut_to_it():
    assert check_box((-10, 50, 60, 500), W, H) == (0, 50, 60, H - 1)
    with pytest.raises(UserError, match="box frame 2 is not there"):
        CarriedMasks(Moving(2), (10, 10, 60, 60), box_frame=2)


def test_a_box_on_nothing_is_refused():
    plain = [np.full((H, W, 3), 120, np.uint8)] * 2
    with pytest.raises(UserError, match="stands out"):
        CarriedMasks(plain, (40, 30, 90, 60))  # type: ignore[arg-type]


def test_a_box_of_which_only_a_stripe_stands_out_is_refused():
    stripe = np.full((H, W, 3), 170, np.uint8) + np.random.default_rng(0).integers(0, 4, (H, W, 3), np.uint8)
    stripe[46:49, 42:88] = (60, 70, 110)
    with pytest.raises(UserError, match="stands out"):
        CarriedMasks([stripe] * 2, (40, 30, 90, 65))  # type: ignore[arg-type]


def test_backwards_reads_every_frame_once_in_small_batches():
    asked: list[int] = []

    class Frames:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, t: int) -> int:
            asked.append(t)
            return t

    seen = [t for t, _ in backwards(Frames(), 90)]  # type: ignore[arg-type]
    assert seen == list(range(89, -1, -1)) and sorted(asked) == list(range(90))
    assert asked[:3] == [58, 59, 60]  # forwards within a batch


# Re-timing


@given(
    gaps=st.lists(st.floats(0.01, 0.2), min_size=3, max_size=40),
    share=st.floats(0.1, 1.0),
)
@settings(max_examples=100, deadline=None)
def test_re_timing_picks_the_nearest_true_frame_in_order(gaps, share):
    times = np.concatenate([[0], np.cumsum(gaps)])
    rate = share / np.median(np.diff(times))
    if int(times[-1] * rate) < 1:
        return
    picked = pick_frames(times, 0.0, np.inf, rate)
    assert (np.diff(picked) > 0).all() and picked[0] == 0
    ticks = np.arange(int(times[-1] * rate + 1e-6) + 1) / rate
    worst = np.abs(times[None] - ticks[:, None]).min(1)
    assert np.allclose(np.abs(times[picked][None] - ticks[:, None]).min(1), worst)


def test_re_timing_refuses_what_is_not_there():
    times = np.arange(30) / 30
    assert pick_frames(times, 0.0, np.inf, 0.0).tolist() == list(range(30))
    assert pick_frames(times, 0.1, 0.2, 0.0).tolist() == [3, 4, 5, 6]
    assert pick_frames(times, 0.0, np.inf, 10.0).tolist() == list(range(0, 30, 3))
    with pytest.raises(UserError, match="above the video's own 30 Hz"):
        pick_frames(times, 0.0, np.inf, 60.0)
    with pytest.raises(UserError, match="5 to 6 s holds 0"):
        pick_frames(times, 5.0, 6.0, 0.0)


# A whole video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "door.mp4"
    scene = Moving(16, step=(1.0, 0.0), pan=(1.0, -1.0))
    write_video(path, (scene[t] for t in range(16)), np.arange(16) / 20)
    return path


BOX = "55,25,105,71"


def test_an_object_in_a_video_is_tracked_and_the_camera_taken_off(video):
    clip = track_video(video, (55, 25, 105, 71))
    assert clip.frames[3].shape == (CROP_SIZE, CROP_SIZE, 3) and clip.masks[3].shape == (CROP_SIZE, CROP_SIZE)
    assert (clip.rate_hz, len(clip.times)) == (pytest.approx(20), 16)
    scale = CROP_SIZE / clip.crop.size
    raw, own = [], []
    for t in range(15):
        transition = Transition(clip, t)
        assert transition.object.sum() > 10 and transition.background.sum() > 10
        raw.append(np.median(transition.delta[transition.object], 0) / scale)
        own.append(raw[-1] - mean_background(transition) / scale)
    assert np.mean(raw, 0) == pytest.approx((2, -1), abs=0.15)
    assert np.mean(own, 0) == pytest.approx((1, 0), abs=0.25)


def test_a_stretch_at_another_rate_keeps_true_times(video):
    clip = track_video(video, (55, 25, 110, 71), start_s=0.1, stop_s=0.6, rate_hz=10)
    assert clip.times.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) and clip.rate_hz == 10


def run_mpr(*argv) -> int:
    return mpr([str(a) for a in argv])


def test_track_writes_a_clip_and_pictures_and_resumes(video, tmp_path, capsys):
    out = tmp_path / "run"
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", out) == 0
    clip = load_clip(out / "clip", verify=True)
    assert clip.source.tracker == "lucas_kanade" and "GrabCut" in clip.source.masks
    assert {"overlay.mp4", "overlay.png", "review.html", "summary.json", "config.yaml"} <= set(os.listdir(out))
    figures = json.loads((out / "summary.json").read_text())
    assert figures["frames"] == len(clip.times) and figures["object_points"] > 0 and "there_and_back" in figures
    before = (out / "clip" / "clip.json").stat().st_mtime_ns
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", out) == 0
    assert (out / "clip" / "clip.json").stat().st_mtime_ns == before
    assert run_mpr("track", "--video", video, "--box", "50,25,105,71", "--out", out) == 2
    assert "other settings (box" in capsys.readouterr().err


def test_the_plan_of_track_touches_nothing(video, tmp_path, capsys):
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--dry-run") == 0
    assert "16 frames, 160 x 96 pixels, 20 Hz" in capsys.readouterr().out
    assert run_mpr("track", "--clips", tmp_path / "gone", "--out", tmp_path / "run", "--dry-run") == 2
    assert os.listdir(tmp_path) == []


def one_frame(path):
    write_video(path, [np.zeros((16, 16, 3), np.uint8)], np.array([0.0, 0.1]))


FAULTS = {
    "empty": (lambda path, video: path.write_bytes(b""), "cannot be read"),
    "truncated": (lambda path, video: path.write_bytes(video.read_bytes()[:2000]), "cannot be read"),
    "text": (lambda path, video: path.write_text("no video" * 99), "cannot be read"),
    "one frame": (lambda path, video: one_frame(path), "one frame"),
    "missing": (lambda path, video: None, "does not exist"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_video_is_one_line_status_2_and_leaves_no_run(fault, video, tmp_path, capsys):
    path = tmp_path / "bad.mp4"
    make, words = FAULTS[fault]
    make(path, video)
    assert run_mpr("track", "--video", path, "--box", "1,1,12,12", "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "bad.mp4" in said and "\n" not in said
    assert not (tmp_path / "run").exists()
    with pytest.raises(BadVideo):
        track_video(path, (1, 1, 12, 12))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--box", "300,10,400,50"), "outside the image"),
        (("--box", "-90,10,-20,50"), "outside the image"),
        (("--box", BOX, "--tracker", "cotracker9"), "unknown tracker 'cotracker9'"),
        (("--box", BOX, "--batch", "4"), "--batch goes with --clips"),
        (("--box", BOX, "--clips", "x"), "give one of"),
        (("--box", BOX, "--rate_hz", "50"), "above the video's own"),
        (("--box", BOX, "--start", "9"), "two are needed"),
        ((), "needs --box"),
    ],
)
def test_a_bad_request_is_one_line_status_2_and_leaves_no_run(argv, words, video, tmp_path, capsys):
    assert run_mpr("track", "--video", video, *argv, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert not (tmp_path / "run").exists()


# Clips tracked again


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_clips_are_tracked_again_and_one_bad_clip_does_not_stop_the_run(batch, video, tmp_path, capsys):
    clips = tmp_path / "clips"
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false") == 0
    for name in ("a", "b", "c"):
        shutil.copytree(tmp_path / "run" / "clip", clips / name)
    (clips / "b" / "frames.mp4").write_bytes((clips / "b" / "frames.mp4").read_bytes()[:500])
    out = tmp_path / "again"
    assert run_mpr("track", "--clips", clips, "--out", out, "--batch", batch) == 0
    said = capsys.readouterr()
    assert "2 clips tracked by lucas_kanade, 1 left out" in said.out and "b is damaged: frames.mp4" in said.err
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["a", "c"]
    first, second = load_clip(clips / "a"), load_clip(out / "a", verify=True)
    assert (out / "a" / "frames.mp4").read_bytes() == (clips / "a" / "frames.mp4").read_bytes()
    assert np.array_equal(second.times, first.times)

    shutil.rmtree(clips / "b")
    shutil.copytree(clips / "a", clips / "b")
    kept = (out / "a" / "clip.json").stat().st_mtime_ns
    assert run_mpr("track", "--clips", clips, "--out", out) == 0  # resumes: only b is new
    assert "3 clips tracked" in capsys.readouterr().out
    assert (out / "a" / "clip.json").stat().st_mtime_ns == kept

    for folder in clips.iterdir():
        (folder / "tracks.npz").write_bytes(b"")
    assert run_mpr("track", "--clips", clips, "--out", tmp_path / "none") == 2
    assert "none of the 3 clips" in capsys.readouterr().err


def test_a_clip_that_was_rejected_or_changed_is_not_kept_as_it_was(video, tmp_path, capsys):
    clips, out = tmp_path / "clips", tmp_path / "again"
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false") == 0
    for name in ("a", "b", "c"):
        shutil.copytree(tmp_path / "run" / "clip", clips / name)
    assert run_mpr("track", "--clips", clips, "--out", out) == 0
    clip = load_clip(clips / "a")
    save_clip(replace(clip, source=replace(clip.source, licence="CC BY-NC 4.0")), clips / "a")
    (clips / "review.json").write_text(json.dumps({"rejected": ["b"]}))
    (out / "c" / "tracks.npz").write_bytes(b"")
    assert run_mpr("track", "--clips", clips, "--out", out) == 0
    assert [folder.name for folder in clip_folders(out)] == ["a", "c"]
    assert load_clip(out / "a").source.licence == "CC BY-NC 4.0"
    assert load_clip(out / "c", verify=True).source.extra["tracked_from"] == clip_digest(clips / "c")
    assert [folder.name for folder in (out / "put_aside").iterdir()] == ["b"], "a and c were made anew"
    assert "2 clips tracked by lucas_kanade, 0 left out, 1 put aside" in capsys.readouterr().out


def test_whatever_a_library_makes_of_one_clip_the_others_are_tracked(video, tmp_path, monkeypatch, capsys):
    assert run_mpr("track", "--video", video, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false") == 0
    for name in ("a", "b"):
        shutil.copytree(tmp_path / "run" / "clip", tmp_path / "clips" / name)

    def breaks(tracker, out, folders, real=again._track_together):
        if any(folder.name == "a" for folder in folders):
            raise cv2.error("an odd picture")
        real(tracker, out, folders)

    monkeypatch.setattr(again, "_track_together", breaks)
    assert run_mpr("track", "--clips", tmp_path / "clips", "--out", tmp_path / "out", "--batch", "2") == 0
    said = capsys.readouterr()
    assert "1 clips tracked" in said.out and "1 left out" in said.out and "an odd picture" in said.err
    (row,) = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    assert row["clip"] == "a" and row["reason"] == "error" and "Traceback" in row["details"]


def test_a_video_that_was_replaced_or_a_clip_that_was_torn_is_not_taken_for_done(video, tmp_path, capsys):
    mine = Path(shutil.copy(video, tmp_path / "mine.mp4"))
    asked = ("track", "--video", mine, "--box", BOX, "--out", tmp_path / "run", "--overlay", "false")
    assert run_mpr(*asked) == 0
    (tmp_path / "run" / "clip" / "frames.mp4").unlink()
    assert run_mpr(*asked) == 0 and load_clip(tmp_path / "run" / "clip", verify=True)
    mine.write_bytes(mine.read_bytes() + b"more")
    assert run_mpr(*asked) == 2
    assert "holds a run with other settings (video_digest" in capsys.readouterr().err


# Real video


@pytest.mark.shared_data
def test_a_still_apple_under_a_moving_camera_moves_less_once_the_camera_is_taken_off(shared_data):
    clip = track_video(shared_data / "video" / "handheld_apple.mp4", (330, 125, 655, 450), stop_s=1.5)
    raw, own = [], []
    for t in range(len(clip.times) - 1):
        transition = Transition(clip, t)
        delta = transition.delta[transition.object]
        raw += list(np.linalg.norm(delta, axis=1))
        own += list(np.linalg.norm(delta - mean_background(transition), axis=1))
    assert np.mean(own) < 0.75 * np.mean(raw)


@pytest.mark.shared_data
def test_what_compensation_leaves_of_the_still_apple_is_parallax(shared_data):
    """The background's points say along which lines a thing at rest moves: across them the apple hardly does."""
    clip = track_video(shared_data / "video" / "handheld_apple.mp4", (330, 125, 655, 450), stop_s=1.5)
    left, across = [], []
    for t in range(len(clip.times) - 1):
        points = Transition(clip, t)
        lines = cv2.findFundamentalMat(points.before[points.background], points.after[points.background], cv2.FM_LMEDS)
        before, after = (np.column_stack([p[points.object], np.ones(points.object.sum())])
                         for p in (points.before, points.after))  # fmt: skip
        there, back = before @ lines[0].T, after @ lines[0]
        scale = np.sqrt((there[:, :2] ** 2).sum(1) + (back[:, :2] ** 2).sum(1))
        across += list(np.abs((after * there).sum(1)) / scale)
        left += list(np.linalg.norm(object_motion(points, "homography"), axis=1))
    assert np.mean(across) < 0.4 * np.mean(left)  # 0.27 when written; in any direction it would be 2 / pi = 0.64 of it
