"""Colours: what was encoded comes back, of standard and of high range. The images are made here, by a forward
transform of their own."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import load_clip
from mpr.core.data.colour import to_rgb
from mpr.core.data.video import VideoFrames
from mpr.training.model_card import card_remarks as card_remarks
from tests.tracking.moving_scenes import BOX, Moving
from tests.tracking.test_corpus import entry, tracked
from tracking.sources.manifest import write_manifest
from tracking.sources.videos import SAMPLE, video_digest

SIZE = 16  # pixels a side
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # of red and blue, by tag
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)
PQ, HLG, SDR = 16, 18, 1


def linear(rgb) -> np.ndarray:
    """Light of 8-bit BT.709, white 1."""
    code = np.asarray(rgb) / 255
    return np.where(code < 0.081, code / 4.5, ((code + 0.099) / 1.099) ** (1 / 0.45))


def hlg(light: np.ndarray) -> np.ndarray:
    """BT.2100's OETF, white at 75 %."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = light * (np.exp((0.75 - c) / a) + b) / 12
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def pq(light: np.ndarray) -> np.ndarray:
    """BT.2100's inverse EOTF, white at 203 cd/m2."""
    power = (light * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def code_of(rgb, curve: int) -> np.ndarray:
    return {PQ: pq, HLG: hlg}[curve](TO_BT2020 @ linear(rgb))


def planes(code: np.ndarray, bits: int, matrix: int, full: bool) -> list[int]:
    """R'G'B' in 0 .. 1 to Y'CbCr."""
    red, blue = LUMA[matrix]
    y = red * code[0] + (1 - red - blue) * code[1] + blue * code[2]
    chroma = [(code[2] - y) / (2 - 2 * blue), (code[0] - y) / (2 - 2 * red)]
    unit, top = 1 << (bits - 8), (1 << bits) - 1
    if full:
        return [round(y * top), *(round(c * top + 128 * unit) for c in chroma)]
    return [round((16 + 219 * y) * unit), *(round((128 + 224 * c) * unit) for c in chroma)]


def frame_of(code, form="yuv420p10le", matrix=9, full=False, curve=SDR, primaries=1, tag=None) -> av.VideoFrame:
    """An image of one colour, its R'G'B' in 0 .. 1."""
    frame = av.VideoFrame(SIZE, SIZE, form)
    bits = frame.format.components[0].bits
    if frame.format.is_rgb:
        values = [round(v * ((1 << bits) - 1)) for v in (code[1], code[2], code[0])]  # planes are g, b, r
    else:
        values = planes(np.asarray(code, float), bits, matrix, full)
    kind = "<u2" if bits > 8 else "u1"
    for plane, value in zip(frame.planes, [*values, (1 << bits) // 3], strict=False):  # the last is alpha
        plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, value, kind).tobytes())
    frame.colorspace, frame.color_range = (
        (2 if frame.format.is_rgb else matrix) if tag is None else tag,
        2 if full else 1,
    )
    frame.color_trc, frame.color_primaries = curve, primaries
    return frame


def colour(frame: av.VideoFrame) -> np.ndarray:
    image = to_rgb(frame)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    return image.reshape(-1, 3).mean(0)


def bits_of(rgb, curve, form, full=False, **tags) -> av.VideoFrame:
    return frame_of(code_of(rgb, curve), form, full=full, curve=curve, primaries=9, **tags)


@settings(max_examples=80, deadline=None)
@given(COLOURS, st.sampled_from([PQ, HLG]), st.booleans(), st.sampled_from(["yuv420p10le", "yuv444p12le", "gbrp10le"]))
@example((8, 255, 250), PQ, False, "yuv420p10le")
def test_high_range_comes_as_the_colour_that_was_encoded(rgb, curve, full, form):
    """Ten bits of limited range hold a dark channel beside bright ones to 8 levels; twelve bits to 5."""
    most = 6 if form == "yuv444p12le" else 10
    assert np.abs(colour(bits_of(rgb, curve, form, full or form.startswith("gbr"))) - rgb).max() <= most


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_high_range_without_other_tags_is_that_of_bt2100(curve):
    frame = frame_of(code_of((200, 60, 40), curve), curve=curve, primaries=2, tag=2)
    assert np.abs(colour(frame) - (200, 60, 40)).max() <= 4


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_what_is_brighter_than_reference_white_is_white(curve):
    brighter = {PQ: pq, HLG: hlg}[curve](np.full(3, 2.5))
    assert colour(frame_of(brighter, curve=curve, primaries=9)) == pytest.approx((255, 255, 255))
    greys = [colour(bits_of((v, v, v), curve, "yuv420p10le")) for v in range(0, 256, 5)]
    assert (np.diff(greys, axis=0) > 0).all()


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "yuv420p10le", "yuva420p"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_standard_range_comes_by_its_tagged_matrix_and_range(form, matrix, full):
    for rgb in ((200, 60, 40), (20, 180, 90), (128, 128, 128), (250, 250, 250)):
        assert np.abs(colour(frame_of(np.array(rgb) / 255, form, matrix, full)) - rgb).max() <= 3, rgb


def test_untagged_images_are_of_bt601_and_rgb_is_as_stored():
    code = np.array([200, 60, 40]) / 255
    assert np.abs(colour(frame_of(code, "yuv420p", 6, tag=2)) - (200, 60, 40)).max() <= 3
    assert colour(frame_of(code, "gbrp", full=True)) == pytest.approx((200, 60, 40), abs=1)
    grey = av.VideoFrame.from_ndarray(np.full((SIZE, SIZE), 77, np.uint8), format="gray")
    assert colour(grey) == pytest.approx((77, 77, 77), abs=1)


TO_P3 = np.array([[0.8225, 0.1775, 0], [0.0332, 0.9668, 0], [0.0171, 0.0724, 0.9105]])


@pytest.mark.parametrize(("primaries", "to_wide"), [(9, TO_BT2020), (12, TO_P3)])
def test_standard_range_of_wide_primaries_comes_in_bt709(primaries, to_wide):
    light = to_wide @ linear((200, 60, 40))
    code = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    frame = frame_of(code, matrix=9 if primaries == 9 else 1, curve=14 if primaries == 9 else 1, primaries=primaries)
    assert np.abs(colour(frame) - (200, 60, 40)).max() <= 4


# A whole video


def film(path: Path, n: int = 12, **tags: int) -> Path:
    """A video without loss, its sides twice as long as high, whose frames are a scene in HLG where it is tagged so."""
    scene = Moving(n, step=(1.0, 0.0), pan=(1.0, -1.0))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.height, stream.width = scene[0].shape[:2]  # type: ignore[union-attr]
        stream.pix_fmt = "gbrp10le"  # type: ignore[union-attr]
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for t in range(n):
            light = linear(scene[t])
            code = hlg(light @ TO_BT2020.T) if tags.get("color_trc") == HLG else scene[t] / 255
            image = np.rint(code * 1023).astype("<u2")
            frame = av.VideoFrame.from_ndarray(image, format="gbrp10le")
            frame.pts, frame.time_base = t, Fraction(1, 25)
            for name, value in tags.items():
                setattr(frame, name, value)
            file.mux(stream.encode(frame))  # type: ignore[union-attr]
        file.mux(stream.encode())  # type: ignore[union-attr]
    return path


def test_a_track_of_high_range_says_so_and_its_clip_has_the_scenes_colours(tmp_path, capsys):
    video = film(tmp_path / "hlg.mkv", color_trc=HLG, color_primaries=9)
    scene = Moving(12, step=(1.0, 0.0), pan=(1.0, -1.0))
    assert np.abs(VideoFrames(video)[2].astype(int) - scene[2]).max() <= 6
    out = tmp_path / "run"
    assert mpr(["track", "--video", str(video), "--box", BOX, "--out", str(out), "--dry-run"]) == 0
    assert "HLG BT.2020 (high range) made BT.709" in capsys.readouterr().out
    assert mpr(["track", "--video", str(video), "--box", BOX, "--out", str(out), "--overlay", "false"]) == 0
    assert "video hlg.mkv: HLG BT.2020 (high range) made BT.709" in capsys.readouterr().out
    (told,) = json.loads((out / "summary.json").read_text())["video_remarks"]
    clip = load_clip(out / "clip")
    assert card_remarks([clip, clip]) == {told: 2}
    asked = ["score", "--video", str(video), "--box", BOX, "--reward", "any_motion", "--film", "false"]
    assert mpr([*asked, "--out", str(tmp_path / "score")]) == 0
    assert json.loads((tmp_path / "score" / "summary.json").read_text())["video_remarks"] == [told]
    box = [int(v) for v in BOX.split(",")]
    write_manifest(tmp_path / "manifest.jsonl", [entry(video, uid, extra={"box": box}) for uid in ("a", "b")])
    capsys.readouterr()
    assert mpr(tracked(tmp_path, tmp_path / "corpus")) == 0
    assert f"2 clips: {told}" in capsys.readouterr().out
    assert json.loads((tmp_path / "corpus" / "summary.json").read_text())["video_remarks"] == {told: 2}


def test_what_was_made_of_high_range_before_it_was_converted_is_made_again(tmp_path):
    def of_bytes(path: Path) -> bytes:
        data = path.read_bytes()
        assert len(data) < SAMPLE
        return hashlib.sha256(str(len(data)).encode() + 2 * data).digest()

    plain, high = film(tmp_path / "sdr.mkv"), film(tmp_path / "hlg.mkv", color_trc=HLG, color_primaries=9)
    assert VideoFrames(plain).remarks == () and video_digest(plain) == of_bytes(plain)
    assert video_digest(high) != of_bytes(high)


def tagged_by_its_file(path: Path, code: np.ndarray, curve: int, primaries: int, matrix: int) -> Path:
    """A video of one colour whose images do not say how it is to be taken; the file does."""
    unknown = "colorprim=unknown:transfer=unknown:colormatrix=unknown:lossless=1:log-level=none"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx265", rate=25, options={"x265-params": unknown})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"  # type: ignore[union-attr]
        about = stream.codec_context
        about.color_trc, about.color_primaries, about.colorspace = curve, primaries, matrix  # type: ignore[union-attr]
        for t in range(3):
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane, value in zip(frame.planes, planes(code, 10, matrix, False), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
            frame.pts, frame.time_base = t, Fraction(1, 25)
            file.mux(stream.encode(frame))  # type: ignore[union-attr]
        file.mux(stream.encode())  # type: ignore[union-attr]
    return path


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv"])
@pytest.mark.parametrize(("curve", "primaries", "matrix"), [(PQ, 9, 9), (HLG, 9, 9), (SDR, 1, 1)])
def test_what_the_images_do_not_say_of_their_colours_the_file_says(tmp_path, name, curve, primaries, matrix):
    rgb = (200, 60, 40)
    code = np.array(rgb) / 255 if curve == SDR else code_of(rgb, curve)
    path = tagged_by_its_file(tmp_path / name, code, curve, primaries, matrix)
    video = VideoFrames(path)
    told = video.remarks  # as `mpr find` asks for them: before an image is read
    assert ("high range" in " ".join(told)) == (curve != SDR)
    for t in (0, 2, 1):
        assert np.abs(video[t].reshape(-1, 3).mean(0) - rgb).max() <= 6
    assert VideoFrames(path).remarks == told
    assert video_digest(path) != hashlib.sha256(str(path.stat().st_size).encode() + 2 * path.read_bytes()).digest()


@pytest.mark.shared_data
@pytest.mark.parametrize("curve", ["hlg", "pq"])
def test_ten_bit_films_of_a_phone_come_in_their_colour(shared_data, curve):
    frame = VideoFrames(shared_data.parent / "cases" / "11" / f"{curve}.mp4")[3]
    assert np.abs(frame.reshape(-1, 3).mean(0) - (200, 60, 40)).max() <= 12
