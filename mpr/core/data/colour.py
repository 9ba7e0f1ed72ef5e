"""A decoded image's colours in eight bits of BT.709, as everything after it takes them to be.

Standard range (SDR) goes through FFmpeg's swscale: the tagged matrix and range (none tagged: BT.601, limited, as every
library on FFmpeg reads and writes them, so that what was made of RGB by one comes back), any depth, alpha left out.

High range (HDR; HLG and PQ of ITU-R BT.2100) is brought to BT.709 here by the light in front of the camera: HLG's
inverse OETF or PQ's EOTF, the primaries from BT.2020, then BT.709's OETF. Reference white, 203 cd/m2 in PQ and 75 % in
HLG (ITU-R BT.2408), becomes 255. The tone curve is a straight line up to there, and what is brighter is cut off at 255:
colours that standard range can hold come back as they were. Standard range with wide primaries takes the same way.

What images do not say of themselves, the file that holds them may (MP4's `colr`, Matroska's `Colour`).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries as Primaries
from av.video.reformatter import ColorTrc as Curve
from av.video.stream import VideoStream
from numpy.typing import NDArray

HDR: dict[int, str] = {Curve.ARIB_STD_B67: "HLG", Curve.SMPTE2084: "PQ"}
ODD: dict[int, str] = {
    Curve.LINEAR: "linear",
    Curve.LOG: "logarithmic",
    Curve.LOG_SQRT: "logarithmic",
    Curve.SMPTE428: "cinema's",
}
UNKNOWN: dict[int, str] = {Primaries.SMPTE428: "XYZ", Primaries.SMPTE431: "DCI-P3"}
_WIDE: dict[int, str] = {Primaries.BT2020: "BT.2020", Primaries.SMPTE432: "P3"}
TO_BT709: dict[
    str, NDArray[np.float32]
] = {  # linear RGB of wide primaries to that of BT.709's, by their chromaticities
    "BT.2020": np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
        np.float32,
    ),
    "P3": np.array(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]],
        np.float32,
    ),
}
UNTAGGED, BT2020, CONSTANT_LUMINANCE = 2, 9, 10  # ISO/IEC 23091-2, matrices; 2 for curves and primaries too
HD = 576  # lines; players take a larger image without a tagged matrix for BT.709
WHITE_CD_M2, WHITE_HLG = 203.0, 0.75  # of reference white, ITU-R BT.2408, table 1
_LEVELS = 4096  # of linear light, between black and reference white


class ColourTags(NamedTuple):
    """What a file says of its images' colours, in the codes of ISO/IEC 23091-2: it counts where they say nothing."""

    primaries: int = UNTAGGED
    curve: int = UNTAGGED
    matrix: int = UNTAGGED
    extent: int = 0  # FFmpeg's: 1 limited range, 2 full

    @classmethod
    def of(cls, stream: VideoStream) -> ColourTags:
        """To be asked before an image is decoded: a decoder writes the image's own over them."""
        about = stream.codec_context
        return cls(*map(int, (about.color_primaries, about.color_trc, about.colorspace, about.color_range)))

    def complete(self, frame: av.VideoFrame) -> None:
        """Give a frame those that it does not have; RGB has no matrix."""
        if frame.color_primaries == UNTAGGED:
            frame.color_primaries = self.primaries
        if frame.color_trc == UNTAGGED:
            frame.color_trc = self.curve
        if frame.colorspace == UNTAGGED and not frame.format.is_rgb:
            frame.colorspace = self.matrix
        if frame.color_range == 0:
            frame.color_range = self.extent


def to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """uint8 RGB [H, W, 3] of BT.709. Raises av.error.FFmpegError for colours that swscale does not know."""
    # One thread: swscale would start as many as there are cores, for every frame anew.
    primaries = _wide_primaries(frame)
    if not (primaries or high_range(frame)):
        return frame.to_ndarray(format="rgb24", threads=1)  # type: ignore[return-value]
    if frame.colorspace == UNTAGGED and high_range(frame):
        frame.colorspace = BT2020
    code: Any = frame.to_ndarray(format="rgb48le", threads=1)
    light: Any = np.take(_light(high_range(frame)), code)
    if primaries:
        light = cv2.transform(light, TO_BT709[primaries])
    return np.take(_levels(), np.clip(light, 0, _LEVELS - 1, out=light).astype(np.uint16))


def high_range(frame: av.VideoFrame) -> str:
    """The name of a frame's HDR curve; empty for standard range."""
    return HDR.get(frame.color_trc, "")


def _wide_primaries(frame: av.VideoFrame) -> str:
    """The name of primaries to convert; empty for BT.709's, and for those that standard definition has, near them."""
    if frame.color_primaries == UNTAGGED and high_range(frame):
        return "BT.2020"
    return _WIDE.get(frame.color_primaries, "") if frame.color_trc not in ODD else ""


def converted(frame: av.VideoFrame) -> str:
    """What is converted beyond swscale: the names of curve and primaries; empty for most images."""
    return " ".join(filter(None, (high_range(frame), _wide_primaries(frame))))


def colour_remarks(frame: av.VideoFrame) -> list[str]:
    """What is to be said of an image's colours, if anything is.

    What was converted, and what does not come as it was meant.
    """
    told = []
    if high_range(frame):
        told.append(f"{converted(frame)} (high range) made BT.709; what is brighter than reference white is cut off")
    elif frame.color_trc in ODD:
        told.append(f"colours do not come as players show them: the {ODD[frame.color_trc]} curve is not converted")
    elif converted(frame):
        told.append(f"colours of {converted(frame)} primaries made BT.709")
    elif frame.colorspace == UNTAGGED and frame.height > HD and frame.format.name.startswith(("yuv", "nv")):
        told.append("no colour matrix is tagged: taken for BT.601, where some players take BT.709")
    if frame.color_primaries in UNKNOWN:
        told.append(f"hues do not come as players show them: {UNKNOWN[frame.color_primaries]} primaries")
    if frame.colorspace == CONSTANT_LUMINANCE:
        told.append("colours do not come as players show them: constant luminance is not converted")
    return told


@cache
def _light(curve: str) -> NDArray[np.float32]:
    """Linear light of every 16-bit code value of HLG, PQ or BT.709; black is 0, reference white _LEVELS."""
    code = np.arange(1 << 16) / ((1 << 16) - 1)
    if curve == "PQ":
        light = _pq_cd_m2(code) / WHITE_CD_M2
    elif curve == "HLG":
        light = _hlg_scene(code) / _hlg_scene(np.array(WHITE_HLG))
    else:
        light = np.where(code < 0.081, code / 4.5, ((code + 0.099) / 1.099) ** (1 / 0.45))
    return (light * _LEVELS).astype(np.float32)


def _hlg_scene(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """HLG's inverse OETF; ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def _pq_cd_m2(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """PQ's EOTF, to cd/m2; ITU-R BT.2100, table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = code ** (1 / m2)
    return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


@cache
def _levels() -> NDArray[np.uint8]:
    """BT.709's OETF in eight bits, of linear light in _LEVELS; ITU-R BT.709, 1.2."""
    light = (np.arange(_LEVELS) + 0.5) / _LEVELS
    return np.rint(255 * np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)).astype(np.uint8)
