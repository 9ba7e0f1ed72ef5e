"""Object finders by name, such as owlv2+sam2+cutie, and where their weights are looked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError
from mpr.core.registry import Registry, attribute
from tracking.masks.protocols import LOST, THRESHOLD, Finder


@dataclass(frozen=True)
class MaskPart:
    """A model that takes part in finding an object."""

    role: str
    load: Callable[[Path, str], Any] | str  # (weights, device) -> the part; or "module:attribute", imported on use
    weights: str  # folder or file below the folder of weights
    needs_mask: bool = False  # of a propagator: does not start from a box


MASK_MODELS = {
    "owlv2": MaskPart("detector", "tracking.masks.owlv2:Owlv2.load", "owlv2-base-patch16-ensemble"),
    "sam2": MaskPart("segmenter", "tracking.masks.sam2:Sam2.load", "sam2.1-hiera-large"),
    "sam2_package": MaskPart("segmenter", "tracking.masks.sam2_package:Sam2Package.load", "sam2.1_hiera_large.pt"),
    "cutie": MaskPart("propagator", "tracking.masks.cutie:Cutie.load", "cutie-base-mega.pth", needs_mask=True),
    "sam2_video": MaskPart("propagator", "tracking.masks.sam2_video:Sam2Video.load", "sam2.1-hiera-large"),
    "sam2_package_video": MaskPart(
        "propagator", "tracking.masks.sam2_package:Sam2PackageVideo.load", "sam2.1_hiera_large.pt"
    ),
    "edgetam": MaskPart("propagator", "tracking.masks.sam2_video:Sam2Video.load_edgetam", "EdgeTAM-hf"),
    "sam3": MaskPart("finder", "tracking.masks.sam3:Sam3.load", "sam3"),
}
OTHERS = Registry("model that finds or follows objects", "mpr.mask_models", {})  # other packages' parts
DEFAULT = "owlv2+sam2+cutie"  # the paper's


def object_finder(
    names: str = DEFAULT,
    weights: Path = Path("weights"),
    device: str = "cpu",
    places: Mapping[str, Path] | None = None,
    threshold: float = THRESHOLD,
    lost: float = LOST,
) -> Finder:
    """A finder from the names of its parts: detector+segmenter+propagator, detector+propagator, or sam3 alone.

    Weights are looked for below the folder `weights` by the name they are published under, or in `places`, by part.
    A detector's best box scores at least `threshold`; an object is without a mask for at most `lost` of a clip on end.
    Raises UserError for names that do not go together, and MissingWeights.
    """
    asked = names.split("+")
    check_names(names)
    places = places or {}
    found = {name: find_part(name) for name in asked}
    parts = [_load(part, places.get(name, weights / part.weights), device) for name, part in found.items()]
    if len(parts) == 1:
        return partial(parts[0], lost=lost)
    from tracking.masks.object_masks import object_masks  # OpenCV, which the names do without

    segmenter = parts[1] if len(parts) == 3 else None
    whole = partial(object_masks, detector=parts[0], segmenter=segmenter, propagator=parts[-1])
    return partial(whole, threshold=threshold, lost=lost)


def refuse_missing(names: str, weights: Path) -> None:
    """Raises MissingWeights for the first of these parts whose weights are not there; loads none."""
    for part in map(find_part, names.split("+")):
        if not (weights / part.weights).exists():
            _load(part, weights / part.weights, "cpu")  # it says what is missing, and how to get it


def find_part(name: str) -> MaskPart:
    """The part of that name. Raises UserError naming those that exist, and for what is no part."""
    if name in MASK_MODELS:
        return MASK_MODELS[name]
    if name not in OTHERS.names():
        raise UserError(f"no model '{name}' finds or follows objects; there is {_there()}")
    found = OTHERS.load(name)
    if not isinstance(found, MaskPart):
        raise UserError(f"model '{name}' is {found!r}, no Part of tracking.masks.registry")
    return found


def check_names(names: str) -> None:
    """Raises UserError for names of parts that do not exist or do not go together."""
    parts = [find_part(name) for name in names.split("+")]
    roles = [part.role for part in parts]
    if roles not in (["finder"], ["detector", "propagator"], ["detector", "segmenter", "propagator"]):
        raise UserError(
            f"'{names}' is no detector+segmenter+propagator, detector+propagator or finder; there is {_there()}"
        )
    if parts[-1].needs_mask and "segmenter" not in roles:
        last = names.split("+")[-1]
        raise UserError(f"'{names}': {last} starts from a mask, put a segmenter before it, as in {DEFAULT}")


def _there() -> str:
    return ", ".join([*(f"{name} ({part.role})" for name, part in MASK_MODELS.items()), *OTHERS.names()])


def _load(part: MaskPart, weights: Path, device: str) -> Any:
    made = attribute(part.load) if isinstance(part.load, str) else part.load
    return made(weights, device)
