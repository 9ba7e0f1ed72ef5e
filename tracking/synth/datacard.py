"""The data card of a folder of synthetic clips: what is in it, in numbers, and a contact sheet to look at.

Everything is measured on the finished clips, not read off the ranges they were drawn from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpr.core.data.clip import TrackedClip
from mpr.core.data.clip_folder import load_clip, load_recording
from mpr.core.data.scene import SceneRecording
from mpr.core.runs import atomic_path, write_atomic
from tracking.motion.points import Transition, transitions
from tracking.simulator.mujoco_scene import HIDDEN_GROUP, RecordedScene
from tracking.synth.timing import LEAST_DOOR_STEP

_MOST = 500  # clips measured, evenly spread over the folder
LOOKS = 5  # frames a clip looked at for areas
RAYS = 48  # a side, for the hand's share
SHEET = (8, 6)  # rows and columns of the contact sheet
THUMBNAIL = 150  # pixels a side


def write_card(out: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """Measure, print and write datacard.json, datacard.md and contact_sheet.jpg into `out`; returns the card."""
    from tqdm import tqdm

    chosen = spread(folders, _MOST)
    rows = [measure_clip(load_clip(f), known_recording(f)) for f in tqdm(chosen, unit="clip", desc="data card")]
    card = {"clips": len(folders), **summarise(rows)}
    write_atomic(out / "datacard.json", json.dumps(card, indent=2) + "\n")
    text = as_markdown(card)
    write_atomic(out / "datacard.md", text)
    write_sheet(out / "contact_sheet.jpg", spread(folders, SHEET[0] * SHEET[1]))
    print(text)
    return card


def spread(items: Sequence[Path], most: int) -> list[Path]:
    """At most `most` items, evenly spread."""
    at = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[i] for i in at]


def known_recording(folder: Path) -> SceneRecording:
    """The scene recording of a clip folder that is known to have one (AssertionError otherwise)."""
    recording = load_recording(folder)
    assert recording is not None, f"{folder} has no recording"
    return recording


def measure_clip(clip: TrackedClip, recording: SceneRecording) -> dict[str, Any]:
    """One clip's row: scalars, and lists with one value a transition."""
    x = recording.extra
    moves = np.abs(np.diff(x["door"])) > LEAST_DOOR_STEP[x["slides"]]
    raw, compensated = _object_motion(clip)
    first, contact = x["first_motion_frame"], x["contact_frame"]
    looks = np.unique(np.linspace(0, len(recording) - 1, LOOKS).round().astype(int))
    return {
        "task": clip.source.extra["task"],
        "kind": x["kind"],
        "group": clip.source.group,
        "towards": "left" if "left" in (x["hinge_side"], x["slides_to"]) else "right",
        "handle": x["handle"],
        "phases": [p["name"] for p in x["phases"]],
        "duration_s": float(recording.times[-1]),
        "onset": None if first is None else first / (len(recording) - 1),
        "contact_before_motion": None if first is None or contact is None else max(0, first - contact + 1),
        "segments": len(clip.segments),
        "area_share": float(np.mean([clip.masks[int(t)].mean() for t in looks])),
        "occluded_share": float(np.mean([occluded_share(recording, clip, int(t)) for t in looks])),
        "ajar": x["door"][0] > 0,
        "right_hand": x["right_hand"],
        "camera": x["camera"],
        "moves": moves.tolist(),
        "camera_deg_s": degrees_per_second(recording.camera.quaternions, recording.rate_hz).tolist(),
        "raw_px": raw.tolist(),
        "compensated_px": compensated.tolist(),
    }


def degrees_per_second(quaternions: NDArray, rate_hz: float) -> NDArray[np.float64]:
    """Angular speed of a camera [T-1] from its xyzw quaternions [T, 4]."""
    turns = Rotation.from_quat(quaternions)
    return np.rad2deg((turns[:-1].inv() * turns[1:]).magnitude()) * rate_hz


def _object_motion(clip: TrackedClip) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean displacement of the object points over each transition [T-1], in crop pixels: raw and compensated.

    NaN over a gap, and where a transition has no object point (or, compensated, no background point).
    """
    raw, compensated = np.full((2, len(clip.times) - 1), np.nan)
    for transition in transitions(clip):
        t = transition.t
        if transition.object.any():
            delta = transition.delta[transition.object]
            raw[t] = np.linalg.norm(delta, axis=1).mean()
            if transition.background.any():
                camera = transition.delta[transition.background].mean(0)
                compensated[t] = np.linalg.norm(delta - camera, axis=1).mean()
    return raw, compensated


def occluded_share(recording: SceneRecording, clip: TrackedClip, t: int) -> float:
    """Share of the object's area that hand and arm hide at frame t: rays with and without them."""
    scene = RecordedScene(recording)
    model = scene.model
    at = (np.arange(RAYS) + 0.5) * (256 / RAYS) - 0.5
    pixels = clip.crop.to_source(np.stack(np.meshgrid(at, at), -1).reshape(-1, 2))
    with_hand = scene.object_pixels(pixels, t).sum()
    groups = model.geom_group.copy()
    model.geom_group[model.body_rootid[model.geom_bodyid] == model.body("hand").id] = HIDDEN_GROUP
    without = scene.object_pixels(pixels, t).sum()
    model.geom_group[:] = groups
    return float(1 - with_hand / without) if without else 0.0


def percentiles(values: Sequence[float | None], at: tuple[int, ...] = (5, 50, 95)) -> dict[str, float]:
    """Percentiles by name ("p5") of the values that are finite numbers; none where no value is."""
    known = np.array([v for v in values if v is not None], float)
    known = known[np.isfinite(known)]
    return {f"p{p}": round(float(np.percentile(known, p)), 3) for p in at} if len(known) else {}


def share(flags: Sequence[bool]) -> float:
    """The share of flags that are set, 0 .. 1, to three decimals."""
    return round(float(np.mean(flags)), 3)


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The card of these rows: JSON values, in the order in which they are printed."""

    def pooled(key: str) -> list[float]:
        return [v for row in rows for v in row[key]]

    durations = [r["duration_s"] for r in rows]
    handles = sorted({r["handle"] for r in rows})
    moves = np.array(pooled("moves"), bool)
    compensated = np.array(pooled("compensated_px"))
    phases = ("pause", "interruption", "switch", "leave")
    return {
        "clips measured": len(rows),
        "tasks": sorted({r["task"] for r in rows}),
        "kinds": sorted({r["kind"] for r in rows}),
        "appliances": len({r["group"] for r in rows}),
        "share hinged at the left, or sliding to the left": share([r["towards"] == "left" for r in rows]),
        "handles": {h: share([r["handle"] == h for r in rows]) for h in handles},
        "share ajar at the start": share([r["ajar"] for r in rows]),
        "share with the right hand": share([r["right_hand"] for r in rows]),
        "duration, seconds": {
            "min": round(min(durations), 2),
            **percentiles(durations),
            "max": round(max(durations), 2),
        },
        "first motion, share of the clip": percentiles([r["onset"] for r in rows]),
        "frames with contact before motion": percentiles([r["contact_before_motion"] for r in rows]),
        "share of clips with": {p: share([p in r["phases"] for r in rows]) for p in phases},
        "share of transitions in which the object moves": share(moves.tolist()),
        "object area, share of the crop": percentiles([r["area_share"] for r in rows]),
        "object area hidden by hand and arm": percentiles([r["occluded_share"] for r in rows]),
        "camera, degrees/second": percentiles(pooled("camera_deg_s")),
        "object points, px/frame, raw": percentiles(pooled("raw_px")),
        "object points, px/frame, compensated": percentiles(list(compensated)),
        "object points, px/frame, compensated, object moves": percentiles(list(compensated[moves])),
        "object points, px/frame, compensated, object still": percentiles(list(compensated[~moves])),
        "track segments a clip": percentiles([r["segments"] for r in rows]),
        "viewpoint": {k: percentiles([r["camera"][k] for r in rows]) for k in rows[0]["camera"]},
    }


def as_markdown(card: dict[str, Any]) -> str:
    """The card as a table; p5, p50 and p95 are percentiles."""

    def cell(value: Any) -> str:
        if isinstance(value, dict):
            return "; ".join(f"{k} {cell(v)}" for k, v in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    lines = ["# Data card: synthetic egocentric clips", ""]
    if card["kinds"] != ["open"]:
        lines += ["For tests only: closing and missing clips are never trained on.", ""]
    lines += ["| what | value |", "|---|---|"]
    for key, value in card.items():
        if key == "viewpoint":
            lines += [f"| viewpoint: {name} | {cell(v)} |" for name, v in value.items()]
        else:
            lines.append(f"| {key} | {cell(value)} |")
    return "\n".join(lines) + "\n"


def write_sheet(path: Path, folders: Sequence[Path]) -> None:
    """The contact sheet: per clip its first frame, the fastest moment of the door, and its last but one frame.

    Green: outline of the object mask; red: exact motion of object points to the next frame.
    """
    import cv2

    rows, columns = SHEET
    cells = [strip(load_clip(f), known_recording(f)) for f in folders]
    cells += [np.full_like(cells[0], 255)] * (rows * columns - len(cells))
    used = [cells[i * columns : (i + 1) * columns] for i in range(rows) if i * columns < len(folders)]
    sheet = np.concatenate([np.concatenate(line, 1) for line in used], 0)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])


def strip(clip: TrackedClip, recording: SceneRecording) -> NDArray[np.uint8]:
    """Three frames of a clip side by side, with a white border: [H, W, 3] uint8 RGB.

    They are the first, the one in which the door moves fastest, and the last but one.
    """
    import cv2

    speed = np.abs(np.diff(recording.extra["door"]))
    last = len(clip.times) - 2
    size = (THUMBNAIL, THUMBNAIL)
    chosen = (0, int(speed.argmax()), last)
    images = [cv2.resize(_drawn(clip, t), size, interpolation=cv2.INTER_AREA) for t in chosen]
    row = np.concatenate(images, 1).astype(np.uint8)
    return np.pad(row, ((2, 2), (3, 3), (0, 0)), constant_values=255)


def _drawn(clip: TrackedClip, t: int) -> NDArray[np.uint8]:
    """Frame t with the mask's outline and the motion of its object points: [H, W, 3] uint8 RGB."""
    import cv2

    image = np.ascontiguousarray(clip.frames[t]).copy()
    outlines, _ = cv2.findContours(clip.masks[t].astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, (0, 220, 0), 1)
    transition = Transition.of(clip, t)
    pairs = np.stack([transition.before, transition.after], 1)[transition.object][::2]
    for (x0, y0), (x1, y1) in pairs.round().astype(int):
        if (x0, y0) != (x1, y1):
            cv2.arrowedLine(image, (int(x0), int(y0)), (int(x1), int(y1)), (255, 0, 0), 1, tipLength=0.3)
    return image
