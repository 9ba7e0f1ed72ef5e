"""What a player shows is what is tracked: turned and mirrored images, covers, several streams, pixels that are not
square, videos that are two. The videos are made here."""

from __future__ import annotations

import gc
import hashlib
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from mpr.core.data.display import square_size
from mpr.core.data.stamps import FrameStamp, anew
from mpr.core.data.video import VideoFrames, write_video
from mpr.core.errors import BadVideo
from tests.core.test_video import H, W, encode, number, numbered_image, patched
from tests.tracking.moving_scenes import OBJECT, Moving
from tracking.clips.from_video import track_video
from tracking.sources.videos import probe, video_digest

SIGNS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
RIGHT_ANGLES = [(i, 0, 0, j) for i, j in SIGNS] + [(0, i, j, 0) for i, j in SIGNS]  # a, b, c, d


def laid(source: Path, matrix, move=(0, 0), scale: float = 1.0, name: str = "") -> Path:
    """A copy of an MP4 file with a display matrix: x' = a x + c y + move, y' = b x + d y + move (ISO/IEC 14496-12)."""
    a, b, c, d = (round(v * scale * 65536) for v in matrix)

    def change(data, at):
        data[at + 40 : at + 76] = struct.pack(">9i", a, b, 0, c, d, 0, *(v << 16 for v in move), 1 << 30)

    out = patched(source, b"tkhd", change)
    return out.rename(out.with_name(name or out.name))


def expected(stored: np.ndarray, matrix) -> np.ndarray:
    """Each stored pixel where the matrix puts it."""
    a, b, c, d = matrix
    y, x = np.indices(stored.shape[:2])
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    out = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    out[down, right] = stored
    return out


@pytest.fixture(scope="module")
def upright(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("upright") / "v.mp4", n=6, options={"bf": "2", "g": "3"})


@pytest.mark.parametrize("matrix", RIGHT_ANGLES)
def test_an_image_is_laid_as_its_matrix_says_in_all_eight_ways(upright, matrix):
    assert len(RIGHT_ANGLES) == 8
    stored = VideoFrames(upright)

    @settings(max_examples=6, deadline=None)
    @given(st.integers(-500, 500), st.integers(-500, 500), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 5))
    def one(right, down, scale, t):
        path = laid(upright, matrix, (right, down), scale, f"{hash((matrix, right, down, scale))}.mp4")
        shown = VideoFrames(path)[t]
        assert np.array_equal(shown, expected(stored[t], matrix)) and shown.flags.c_contiguous
        info = probe(path)
        assert info is not None and (info.height, info.width) == shown.shape[:2]

    one()


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ((0.866, 0.5, -0.5, 0.866), "turns images by 30 degrees"),
        ((0.7071, 0.7071, 0.7071, -0.7071), "turns images by 45 degrees"),
        ((1, 0, 0.5, 1), "distorts images"),
        ((1, 0, 0, 0), "distorts images"),
    ],
)
def test_a_matrix_that_lays_no_rectangle_on_its_place_is_refused_by_name(upright, matrix, words):
    with pytest.raises(BadVideo, match=rf"askew\.mp4: its display matrix {words}"):
        VideoFrames(laid(upright, matrix, name="askew.mp4"))[0]
    for read in (probe, lambda path: VideoFrames(path)[5]):  # an old answer of the header does not count
        with pytest.raises(BadVideo, match=words):
            read(laid(upright, matrix, name=f"{words}{matrix}.mp4"))


def test_a_matrix_of_zeros_or_a_hair_askew_is_as_good_as_none(upright):
    stored = VideoFrames(upright)[2]
    for k, matrix in enumerate([(0, 0, 0, 0), (1, 0.001, -0.001, 1)]):
        assert np.array_equal(VideoFrames(laid(upright, matrix, name=f"{k}.mp4"))[2], stored)


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (0, 1, 1, 0)])
def test_a_box_on_what_a_player_shows_stays_on_the_thing(tmp_path, matrix):
    scene = Moving(5, step=(1.0, 0.0), pan=(0.5, -1.0))
    write_video(tmp_path / "v.mp4", (scene[t] for t in range(5)), np.arange(5) / 20)
    plain = track_video(tmp_path / "v.mp4", list(OBJECT + np.array([-4, -4, 4, 4])))
    shown = [expected(scene.mask(0)[..., None].repeat(3, 2).astype(np.uint8), matrix)[..., 0]]
    y, x = np.nonzero(shown[0])
    box = (x.min() - 4, y.min() - 4, x.max() + 4, y.max() + 4)
    path = laid(tmp_path / "v.mp4", matrix)
    laid_clip = track_video(path, box)
    for t in (0, 4):
        red = expected(scene.mask(t)[..., None].repeat(3, 2).astype(np.uint8), matrix)[..., 0].astype(bool)
        mask = laid_clip.masks[t]  # in the crop
        points = laid_clip.crop.to_source(np.argwhere(mask)[:, ::-1].astype(float))
        inside = red[tuple(np.rint(points).astype(int).T[::-1])]
        assert inside.mean() > 0.85 and mask.sum() == pytest.approx(plain.masks[t].sum(), rel=0.2)


def test_what_was_made_of_a_mirrored_video_is_made_again_and_of_a_turned_one_stands(upright):
    def of_bytes(path: Path) -> bytes:
        data = path.read_bytes()
        return hashlib.sha256(str(len(data)).encode() + 2 * data).digest()

    for matrix in RIGHT_ANGLES:
        path = laid(upright, matrix, name=f"again{matrix}.mp4")
        mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
        assert (video_digest(path) != of_bytes(path)) == mirrored, matrix


def told_within(source: Path, out: Path, *turns: str) -> Path:
    """The video again and again, each time with what its images say themselves (H.264's display orientation, at
    keyframes)."""
    with av.open(str(source)) as read, av.open(str(out), "w") as file:
        stream = file.add_stream_from_template(read.streams.video[0])
        for k, turn in enumerate(turns):
            read.seek(0)
            telling = BitStreamFilterContext(f"h264_metadata=display_orientation=insert:{turn}", read.streams.video[0])
            for packet in read.demux(video=0):
                for told in telling.filter(packet if packet.size else None):
                    assert told.pts is not None and told.dts is not None
                    told.pts, told.dts = told.pts + k * 6 * 512, told.dts + k * 6 * 512  # 12,800 ticks a second
                    told.stream = stream
                    file.mux(told)
    return out


@pytest.mark.parametrize(("turn", "matrix"), [("rotate=90", (0, -1, 1, 0)), ("flip=vertical", (1, 0, 0, -1))])
def test_images_that_say_themselves_how_they_lie_are_laid_so(upright, tmp_path, turn, matrix):
    stored, shown = VideoFrames(upright), VideoFrames(told_within(upright, tmp_path / "v.mkv", turn))
    for t in (5, 0, 1, 2, 3, 4):
        assert np.array_equal(shown[t], expected(stored[t], matrix)), t


def test_images_that_lie_another_way_midway_are_refused_with_the_second(upright, tmp_path):
    with pytest.raises(BadVideo, match=r"v\.mkv: at second 0\.24 its images lie another way than at its start"):
        list(VideoFrames(told_within(upright, tmp_path / "v.mkv", "rotate=90", "rotate=270")))  # type: ignore[call-overload]


def test_frames_are_let_go_at_once(tmp_path):
    """PyAV holds a frame that was asked for its side data until the garbage is collected."""
    video = VideoFrames(encode(tmp_path / "v.mp4", options={"g": "4"}))
    gc.collect()
    gc.disable()
    try:
        for t in range(20):
            video[t]
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) < 10
    finally:
        gc.enable()


# Which stream


def with_covers(path: Path, order: str, default: str = "v", marked: bool = True) -> Path:
    """A file whose streams are, by letter, cover images (c; of Matroska attachments), a video (v) and another one
    (o) that counts down; of these `default` are marked so."""
    grey = av.VideoFrame.from_ndarray(np.full((80, 96, 3), 200, np.uint8), format="rgb24")
    with av.open(str(path), "w") as file:
        streams: list[Any] = []
        for k, letter in enumerate(order):
            if letter == "c" and path.suffix == ".mkv":
                codec: Any = av.CodecContext.create("mjpeg", "w")
                codec.width, codec.height, codec.pix_fmt, codec.time_base = 96, 80, "yuvj420p", Fraction(1, 25)
                data = b"".join(
                    bytes(packet) for packet in [*codec.encode(grey.reformat(format="yuvj420p")), *codec.encode(None)]
                )
                file.add_attachment(f"cover{k}.jpg", "image/jpeg", data)
                continue
            stream: Any = file.add_stream("mjpeg" if letter == "c" else "libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = (96, 80, "yuvj420p") if letter == "c" else (W, H, "yuv420p")
            stream.disposition = Disposition(int(letter in default))
            if letter == "c" and marked:
                stream.disposition = Disposition.attached_pic
            streams.append((letter, stream))
        for i in range(10):
            for letter, stream in streams:
                if letter != "c" or i == 0:
                    image = numbered_image(9 - i if letter == "o" else i)
                    frame = grey if letter == "c" else av.VideoFrame.from_ndarray(image, format="rgb24")
                    frame.pts, frame.time_base = i, Fraction(1, 25)
                    file.mux(stream.encode(frame))
        for _, stream in streams:
            file.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
@pytest.mark.parametrize("order", ["cv", "vc", "ccv", "cvc"])
def test_a_cover_image_is_no_video_wherever_it_stands(tmp_path, name, order):
    path = with_covers(tmp_path / name, order)
    with av.open(str(path)) as file:
        assert len(file.streams.video) == len(order) and any(s.disposition & 1024 for s in file.streams.video)
    video = VideoFrames(path)
    assert [number(video[t]) for t in range(len(video))] == list(range(10)) and video.remarks == ()
    info = probe(path)
    assert info is not None and (info.width, info.height, info.rate_hz) == (W, H, 25)


def test_a_cover_that_is_told_of_before_the_video_is_none_either(tmp_path):
    """As iTunes writes it: the user data (udta), with the cover, before the tracks (trak)."""
    data = with_covers(tmp_path / "v.mp4", "cv").read_bytes()
    track, user = data.index(b"trak") - 4, data.index(b"udta") - 4
    assert data.index(b"mdat") < track < user
    (tmp_path / "cover_first.mp4").write_bytes(data[:track] + data[user:] + data[track:user])
    with av.open(str(tmp_path / "cover_first.mp4")) as file:
        assert file.streams.video[0].disposition & 1024
    video = VideoFrames(tmp_path / "cover_first.mp4")
    assert [number(video[t]) for t in range(len(video))] == list(range(10)) and video.remarks == ()


def test_a_single_image_beside_a_film_is_taken_for_a_cover(tmp_path):
    video = VideoFrames(with_covers(tmp_path / "v.mp4", "cv", default="cv", marked=False))
    assert (len(video), video[0].shape, video.remarks) == (10, (H, W, 3), ())


def test_a_file_with_a_cover_alone_is_refused_by_name(tmp_path):
    with av.open(str(tmp_path / "song.mp3"), "w") as file:
        sound: Any = file.add_stream("mp3", rate=44100)
        cover: Any = file.add_stream("png", rate=25)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 96, 80, "rgb24", Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
        silence.rate, silence.pts = 44100, 0
        file.mux(sound.encode(silence))
        file.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((80, 96, 3), np.uint8), format="rgb24")))
        file.mux([*cover.encode(), *sound.encode()])
    for read in (VideoFrames, probe):
        with pytest.raises(BadVideo, match=r"song\.mp3 has a cover image, and no video"):
            read(tmp_path / "song.mp3")


@pytest.mark.parametrize(
    ("order", "default", "first"), [("ov", "v", 0), ("vo", "v", 0), ("ov", "ov", 9), ("ov", "o", 9)]
)
def test_of_several_streams_the_default_one_is_taken_else_the_first_and_said(tmp_path, order, default, first):
    video = VideoFrames(with_covers(tmp_path / "v.mkv", order, default))
    assert number(video[0]) == first and number(video[7]) == abs(first - 7)  # 7 is sought
    at = order.index("v" if first == 0 else "o")
    assert video.remarks == (f"stream {at} is taken, of 2 video streams",)


@pytest.mark.shared_data
def test_the_cases_that_showed_it(shared_data):
    cases = shared_data.parent / "cases"
    assert np.array_equal(VideoFrames(cases / "10" / "cover_first.mp4")[9], VideoFrames(cases / "10" / "plain.mp4")[9])
    with av.open(str(cases / "08" / "hflip.mp4")) as file:
        stored = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(VideoFrames(cases / "08" / "hflip.mp4")[0], stored[:, ::-1])


# Pixels that are not square, two fields


STRETCHED = [(Fraction(4, 3), (85, 48)), (Fraction(1, 2), (64, 96)), (Fraction(1216, 1215), (64, 48))]


@pytest.mark.parametrize(("ratio", "size"), STRETCHED)
def test_pixels_are_made_square_in_frames_and_in_what_is_told(tmp_path, ratio, size, capsys):
    path = encode(tmp_path / "v.mp4", n=4, sample_aspect_ratio=ratio)
    told = () if size == (W, H) else (f"its pixels are not square: 64 x 48 pixels stretched to {size[0]} x {size[1]}",)
    turned = laid(path, (0, 1, -1, 0), name="turned.mp4")
    for file, (width, height) in ((path, size), (turned, size[::-1])):
        video, info = VideoFrames(file), probe(file)
        assert video[2].shape == (height, width, 3) and video.remarks == told
        assert info is not None and (info.width, info.height) == (width, height)
    plan = ["track", "--video", str(turned), "--box", "1,1,30,30", "--out", str(tmp_path / "run"), "--dry-run"]
    assert mpr(plan) == 0
    assert f"4 frames, {size[1]} x {size[0]} pixels" in (said := capsys.readouterr().out)
    assert all(remark in said for remark in told)


@given(st.integers(16, 4096), st.integers(16, 4096), st.fractions(Fraction(1, 16), 16))
def test_square_pixels_lose_nothing_and_have_the_right_shape(width, height, ratio):
    wide, high = square_size(width, height, ratio)
    assert wide >= width and high >= height and (wide == width or high == height)
    assert wide / high == pytest.approx(width / height * ratio, rel=0.01 + 0.5 / min(width, height))


def test_interlaced_images_are_said_to_be(tmp_path):
    video = VideoFrames(encode(tmp_path / "v.mkv", {"x264-params": "tff=1"}, n=4))
    assert video.remarks == ("interlaced: the two fields of an image are of two moments",)


# Videos that are two


@pytest.mark.parametrize("name", ["v.ts", "v.mkv"])
@pytest.mark.parametrize("options", [{"bf": "2", "g": "10"}, {"bf": "0", "g": "100"}])
def test_stamps_that_start_anew_are_refused_with_the_second(tmp_path, name, options):
    one = encode(tmp_path / name, options, n=20, pts=lambda i: 100 + 2 * i).read_bytes()
    for k, (first, n) in enumerate([(100, 20), (100, 5), (136, 20)]):  # the same again, a short piece, an overlap
        two = encode(tmp_path / f"two_{name}", options, n=n, pts=lambda i, first=first: first + 2 * i).read_bytes()
        joined = tmp_path / f"{k}{name}"
        joined.write_bytes(one + two)
        with pytest.raises(BadVideo, match=rf"{k}{name}: after second 0\.7[26] its stamps start anew: cut it there"):
            VideoFrames(joined)


def test_stamps_that_jump_ahead_by_minutes_in_a_stream_of_broadcasts_start_anew(tmp_path):
    one = encode(tmp_path / "v.ts", n=20).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one + encode(tmp_path / "w.ts", n=20, pts=lambda i: 9000 + 2 * i).read_bytes())
    with pytest.raises(BadVideo, match=r"after second 0\.76 its stamps start anew"):
        VideoFrames(joined)
    gap = encode(tmp_path / "gap.mp4", n=20, pts=lambda i: 2 * i + 9000 * (i > 9))
    assert len(VideoFrames(gap)) == 20  # of another one it is a gap, which is counted elsewhere


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=40), st.data())
def test_reordered_stamps_go_on_and_joined_ones_do_not(groups, data):
    """A group: a reference and so many images before it that are decoded after it."""
    stamps, at, decoded = [], 0, 0
    for k, (step, before) in enumerate(groups):
        shown = [at + step * (j + 1) for j in range(before + 1)]
        for j, pts in enumerate([shown[-1], *shown[:-1]]):
            stamps.append(FrameStamp(pts, decoded, j == 0 and (k == 0 or data.draw(st.booleans()))))
            decoded += step
        at = shown[-1]
    assert anew(stamps) is None
    assert anew([stamp._replace(dts=None) for stamp in stamps if not stamp.keyframe] or stamps) is None
    again = data.draw(st.integers(0, max(at - 1, 0)))
    second = [
        FrameStamp(s.pts - stamps[0].pts + again, s.dts - stamps[0].pts + again - decoded, s.keyframe) for s in stamps
    ]
    assert anew([*stamps, *second]) == len(stamps)


def resized(path: Path, sizes: list[tuple[int, int]], codec: str = "libx264", each: int = 12) -> Path:
    """A video whose pieces of `each` frames have those sizes, described anew within the stream."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=25)
        form = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.width, stream.height, stream.pix_fmt = *sizes[0], form
        stream.time_base = Fraction(1, 25)
        for k, (width, height) in enumerate(sizes):
            encoder: Any = av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, form
            encoder.time_base = Fraction(1, 25)
            encoder.options = {} if codec == "mjpeg" else {"bf": "0"}
            for i in range(each + 1):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 100 + i, np.uint8), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                for packet in encoder.encode(frame if i < each else None):
                    packet.pts = packet.dts = packet.pts + k * each
                    packet.time_base, packet.stream = Fraction(1, 25), stream
                    file.mux(packet)
    return path


RESIZED = [("v.ts", "libx264"), ("v.mp4", "libx264"), ("v.mkv", "libx264")]
RESIZED += [("v.avi", "mpeg4"), ("v.webm", "libvpx"), ("v.mkv", "mjpeg")]


@pytest.mark.parametrize(("name", "codec"), RESIZED)
def test_an_image_size_that_changes_midway_is_refused_with_the_second(tmp_path, name, codec):
    path = resized(tmp_path / name, [(64, 48), (96, 48)], codec)
    words = rf"{name}: at second 0\.4[48] its images are 96 x 48 pixels, at its start 64 x 48: cut it there"
    with pytest.raises(BadVideo, match=words):
        VideoFrames(path)
    back = VideoFrames(resized(tmp_path / f"back_{name}", [(64, 48), (96, 48), (64, 48)], codec))
    if name.endswith(("mp4", "mkv", "webm")):  # from which a frame is read without those before it
        assert back[3].shape == back[30].shape == (48, 64, 3)
    with pytest.raises(BadVideo, match=f"back_{words}"):
        list(back)  # type: ignore[call-overload]
