"""Video files: true times, exact seeks, rotation, edit lists, faults. The videos are made here."""

from __future__ import annotations

import contextlib
import pickle
import struct
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.data.video import VideoFrames, write_video
from mpr.core.errors import BadVideo
from tracking.sources.videos import probe

W, H, N = 64, 48, 40
BASE = Fraction(1, 50)
RED = (7.5, 7.5)  # centre of a red square, x and y
OPEN_GOP = "open-gop=1:keyint=10:min-keyint=10:scenecut=0:bframes=3:b-adapt=0"


def numbered_image(i: int) -> np.ndarray:
    """Frame i: its brightness says its number, a red square tells the corners apart."""
    image = np.full((H, W, 3), 30 + 5 * i, np.uint8)
    image[4:12, 4:12] = (250, 0, 0)
    return image


def number(image: np.ndarray) -> int:
    return round((float(np.median(image)) - 30) / 5)


def encode(
    path: Path, options=None, pts=lambda i: 2 * i, codec="libx264", container=None, form=None, n=N, **more
) -> Path:
    with av.open(str(path), "w", format=form, options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"  # type: ignore[union-attr]
        stream.time_base = stream.codec_context.time_base = BASE
        for name, value in more.items():
            setattr(stream.codec_context, name, value)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(numbered_image(i), format="rgb24")
            frame.pts, frame.time_base = pts(i), BASE
            file.mux(stream.encode(frame))  # type: ignore[union-attr]
        file.mux(stream.encode())  # type: ignore[union-attr]
    return path


KINDS = {
    "b_frames": ("v.mp4", {"options": {"bf": "3", "g": "10"}}),
    "one_keyframe": ("v.mp4", {"options": {"g": "1000"}}),
    "open_gop": ("v.mp4", {"options": {"x264-params": OPEN_GOP}}),
    "close_keyframes": ("v.mp4", {"options": {"x264-params": OPEN_GOP.replace("=10", "=3")}}),
    "open_gop_matroska": ("v.mkv", {"options": {"x264-params": OPEN_GOP}}),
    "first_stamp_not_0": ("v.mp4", {"pts": lambda i: 500 + 2 * i}),
    "avi": ("v.avi", {"options": {"bf": "0", "g": "10"}}),
    "transport_stream": ("v.ts", {"options": {"bf": "2", "g": "10"}}),
    "webm": ("v.webm", {"codec": "libvpx-vp9", "options": {"g": "10", "cpu-used": "8", "deadline": "realtime"}}),
}


def test_packets_are_read_once_a_video_and_again_where_the_file_is_another(tmp_path, monkeypatch):
    opened = []
    really = av.open
    file = encode(tmp_path / "v.mp4", n=12)
    monkeypatch.setattr(av, "open", lambda *args, **more: opened.append(args) or really(*args, **more))
    assert len(VideoFrames(file)) == len(VideoFrames(file)) == 12 and len(opened) == 1
    monkeypatch.undo()
    encode(file, n=20)
    assert len(VideoFrames(file)) == 20 and number(VideoFrames(file)[19]) == 19


@pytest.mark.parametrize("kind", KINDS)
def test_any_order_of_reading_gives_the_frame_asked_for(tmp_path, kind):
    name, how = KINDS[kind]
    video = VideoFrames(encode(tmp_path / name, **how))
    assert len(video) == N
    one_by_one = [video[t].copy() for t in range(N)]
    assert [number(image) for image in one_by_one] == list(range(N))
    for t in [*np.random.default_rng(0).integers(0, N, 40), *range(N - 1, -1, -1), -1]:
        assert np.array_equal(video[int(t)], one_by_one[t]), t
    assert video.times[0] == 0
    assert np.allclose(np.diff(video.times)[:-1], 0.04)  # FFmpeg makes up the last stamp of an AVI


def test_times_are_the_frames_own(tmp_path):
    stamps = np.cumsum([0, 2, 3, 1, 5, 2, 2, 7, 1, 2])
    video = VideoFrames(encode(tmp_path / "v.mp4", pts=lambda i: int(stamps[i]), n=10, options={"bf": "2"}))
    assert np.allclose(video.times, stamps / 50)
    assert video.rate_hz == pytest.approx(25)


def test_reading_in_order_never_seeks_after_the_start(tmp_path, monkeypatch):
    video = VideoFrames(encode(tmp_path / "v.mp4", options={"g": "5"}))
    seeks = []
    seek = VideoFrames._seek
    monkeypatch.setattr(VideoFrames, "_seek", lambda self, t, key: (seeks.append(t), seek(self, t, key)))
    for t in range(N):
        video[t]
    assert seeks == [0]
    video[3]
    assert seeks == [0, 3]


def test_it_holds_one_frame_only(tmp_path):
    video = VideoFrames(encode(tmp_path / "v.mp4"))
    held = video[10]
    video[11]
    arrays = [v for v in video.__dict__.values() if isinstance(v, np.ndarray) and v.ndim == 3]
    assert len(arrays) == 1 and arrays[0] is not held
    assert pickle.loads(pickle.dumps(video))[12].shape == (H, W, 3)  # a worker opens its own decoder
    video.close()
    assert number(video[5]) == 5


def patched(source: Path, box: bytes, change) -> Path:
    """A copy of an MP4 file with the body of its first box of a type changed."""
    data = bytearray(source.read_bytes())
    at = data.index(box) + 4
    change(data, at)
    out = source.with_name(f"patched_{source.name}")
    out.write_bytes(data)
    return out


@pytest.mark.parametrize(
    ("matrix", "shape", "red"),
    [
        ((0, 1, -1, 0), (W, H), (H - 1 - RED[1], RED[0])),  # a phone held upright: turned clockwise to be shown
        ((-1, 0, 0, -1), (H, W), (W - 1 - RED[0], H - 1 - RED[1])),
        ((0, -1, 1, 0), (W, H), (RED[1], W - 1 - RED[0])),
    ],
)
def test_the_rotation_flag_turns_the_image_the_way_players_do(tmp_path, matrix, shape, red):
    def turn(data, at):  # ISO 14496-12: x' = a x + c y + tx, y' = b x + d y + ty
        a, b, c, d = (v << 16 for v in matrix)
        data[at + 40 : at + 76] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)

    video = VideoFrames(patched(encode(tmp_path / "v.mp4", n=4), b"tkhd", turn))
    image = video[2]
    assert image.shape[:2] == shape
    y, x = np.argwhere(image[..., 0] > 120 + image[..., 1].astype(int)).mean(0)
    assert (x, y) == pytest.approx(red, abs=0.6)


def test_an_edit_list_that_starts_late_drops_the_frames_before_it(tmp_path):
    source = encode(tmp_path / "v.mp4", options={"bf": "2", "g": "10"})

    def start_at_frame_7(data, at):
        duration, media_time = struct.unpack(">Ii", data[at + 8 : at + 16])
        data[at + 8 : at + 16] = struct.pack(">Ii", duration, media_time + 7 * 512)  # 12,800 ticks a second

    video = VideoFrames(patched(source, b"elst", start_at_frame_7))
    assert [number(video[t]) for t in range(len(video))] == list(range(7, N))
    assert number(video[0]) == 7


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("index_first", [False, True])
def test_a_truncated_video_is_refused_when_it_is_opened(tmp_path, keep, index_first):
    flags = {"movflags": "faststart"} if index_first else {}
    whole = encode(tmp_path / "whole.mp4", container=flags, options={"g": "10"}).read_bytes()
    cut = tmp_path / "cut.mp4"
    end = len(whole) * keep if index_first else whole.index(b"moov") * keep
    cut.write_bytes(whole[: int(end)])
    with pytest.raises(BadVideo, match=r"cut\.mp4"):
        VideoFrames(cut)


def test_what_is_no_video_is_refused_by_name(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video " * 50)
    with pytest.raises(BadVideo, match=r"text\.mp4 cannot be read"):
        VideoFrames(tmp_path / "text.mp4")
    with pytest.raises(BadVideo, match="does not exist"):
        VideoFrames(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.rate, sound.pts = 8000, 0
        file.mux([*stream.encode(sound), *stream.encode(None)])  # type: ignore[union-attr]
    with pytest.raises(BadVideo, match="no video stream"):
        VideoFrames(tmp_path / "sound.mp4")
    with pytest.raises(BadVideo, match="without time stamps"):
        VideoFrames(encode(tmp_path / "raw.h264", form="h264"))


def test_a_title_in_another_encoding_is_no_fault(tmp_path):
    with av.open(str(tmp_path / "v.mkv"), "w", metadata_encoding="latin-1") as file:
        file.metadata["title"] = "Küche"
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"  # type: ignore[union-attr]
        file.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_image(3), format="rgb24")))  # type: ignore[union-attr]
        file.mux(stream.encode())  # type: ignore[union-attr]
    assert "Küche".encode("latin-1") in (tmp_path / "v.mkv").read_bytes()
    assert probe(tmp_path / "v.mkv") and number(VideoFrames(tmp_path / "v.mkv")[0]) == 3


def test_a_codec_that_nobody_knows_is_refused_by_name(tmp_path):
    file = tmp_path / "v.mp4"
    file.write_bytes(encode(tmp_path / "whole.mp4", n=3).read_bytes().replace(b"avc1", b"zzzz"))
    for read in (probe, VideoFrames):
        with pytest.raises(BadVideo, match=r"v\.mp4: its codec is unknown"):
            read(file)


def test_colours_that_nobody_knows_are_refused_by_name(tmp_path):
    video = VideoFrames(encode(tmp_path / "v.mp4", {"x264-params": "colormatrix=YCgCo"}, n=2))
    for _ in range(2):
        with pytest.raises(BadVideo, match=r"v\.mp4: frame 0 of 2 has colours unknown here"):
            video[0]


def test_after_a_frame_that_does_not_decode_the_one_before_it_is_not_an_older_one(tmp_path):
    video = VideoFrames(encode(tmp_path / "v.mp4", n=10))
    assert number(video[3]) == 3
    video._decoder = islice(video._decoder, 2)  # as if frame 6 were damaged
    with pytest.raises(BadVideo, match="frame 7 of 10 does not decode"):
        video[7]
    assert number(video[5]) == 5


@pytest.mark.parametrize("kind", ["b_frames", "open_gop_matroska", "avi", "transport_stream"])
def test_whatever_its_bytes_are_a_video_is_read_or_refused(kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    name, how = KINDS[kind]
    whole = encode(folder / name, n=12, **how).read_bytes()
    places = st.one_of(st.integers(0, 2000), st.integers(0, len(whole) - 1), st.integers(-2000, -1))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=30), st.integers(0, 60))
    def one(changed, left_out):
        damaged = bytearray(whole)
        for place, byte in changed:
            damaged[place % len(whole)] = byte
        start = changed[0][0] % len(whole)
        del damaged[start : start + left_out]
        file = folder / f"{len(list(folder.iterdir()))}{name}"
        file.write_bytes(damaged)
        with contextlib.suppress(BadVideo):
            probe(file)
        with contextlib.suppress(BadVideo):
            video = VideoFrames(file)
            assert np.isfinite(video.times).all() and (np.diff(video.times) > 0).all()
            for frame in video:
                assert frame.dtype == np.uint8 and frame.shape[2] == 3

    one()


def test_no_frames_at_all_is_refused(tmp_path):
    write_video(tmp_path / "none.mp4", iter(()), np.array([0.0, 0.1]))
    with pytest.raises(BadVideo, match=r"none\.mp4"):
        VideoFrames(tmp_path / "none.mp4")


def test_written_videos_keep_times_and_images_and_are_the_same_bytes_again(tmp_path):
    times = np.array([3.0, 3.08, 3.15, 3.4, 3.41])
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, (numbered_image(i) for i in range(5)), times)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    video = VideoFrames(tmp_path / "a.mp4")
    assert np.allclose(video.times, times - 3, atol=1e-4)
    assert [number(video[t]) for t in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="even"):
        write_video(tmp_path / "odd.mp4", [np.zeros((5, 4, 3), np.uint8)], np.array([0.0, 1.0]))


def test_a_frame_that_never_comes_out_of_the_decoder_is_not_replaced_by_its_neighbour(tmp_path):
    video = VideoFrames(encode(tmp_path / "v.mp4", n=10))
    del video._index[video._pts[5]]  # as if the decoder gave it no stamp, or another one
    assert number(video[6]) == 6
    with pytest.raises(BadVideo, match="frame 5 of 10 is missing"):
        video[5]
