"""Object finders by name, such as owlv2+sam2+cutie, and where their weights are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tracking.errors import UserError
from tracking.masks.object_masks import LOST, THRESHOLD, object_masks
from tracking.masks.protocols import Finder


@dataclass(frozen=True)
class Part:
    """A model that takes part in finding an object."""

    role: str
    load: str  # "module:Class.method" in this package, (weights, device) -> the part
    weights: str  # folder or file below the folder of weights
    needs_mask: bool = False  # of a propagator: does not start from a box


PARTS = {
    "owlv2": Part("detector", "owlv2:Owlv2.load", "owlv2-base-patch16-ensemble"),
    "sam2": Part("segmenter", "sam2:Sam2.load", "sam2.1-hiera-large"),
    "sam2_package": Part("segmenter", "sam2_package:Sam2Package.load", "sam2.1_hiera_large.pt"),
    "cutie": Part("propagator", "cutie:Cutie.load", "cutie-base-mega.pth", needs_mask=True),
    "sam2_video": Part("propagator", "sam2_video:Sam2Video.load", "sam2.1-hiera-large"),
    "sam2_package_video": Part("propagator", "sam2_package:Sam2PackageVideo.load", "sam2.1_hiera_large.pt"),
    "edgetam": Part("propagator", "sam2_video:Sam2Video.load_edgetam", "EdgeTAM-hf"),
    "sam3": Part("finder", "sam3:Sam3.load", "sam3"),
}
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
    parts = [_load(PARTS[name], places.get(name, weights / PARTS[name].weights), device) for name in asked]
    if len(parts) == 1:
        return partial(parts[0], lost=lost)
    segmenter = parts[1] if len(parts) == 3 else None
    found = partial(object_masks, detector=parts[0], segmenter=segmenter, propagator=parts[-1])
    return partial(found, threshold=threshold, lost=lost)


def refuse_missing(names: str, weights: Path) -> None:
    """Raises MissingWeights for the first of these parts whose weights are not there; loads none."""
    for part in map(PARTS.__getitem__, names.split("+")):
        if not (weights / part.weights).exists():
            _load(part, weights / part.weights, "cpu")  # it says what is missing, and how to get it


def check_names(names: str) -> None:
    """Raises UserError for names of parts that do not exist or do not go together."""
    there = ", ".join(f"{name} ({part.role})" for name, part in PARTS.items())
    asked = names.split("+")
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        raise UserError(f"no model '{unknown[0]}' finds or follows objects; there is {there}")
    roles = [PARTS[name].role for name in asked]
    if roles not in (["finder"], ["detector", "propagator"], ["detector", "segmenter", "propagator"]):
        raise UserError(
            f"'{names}' is no detector+segmenter+propagator, detector+propagator or finder; there is {there}"
        )
    if PARTS[asked[-1]].needs_mask and "segmenter" not in roles:
        raise UserError(f"'{names}': {asked[-1]} starts from a mask, put a segmenter before it, as in {DEFAULT}")


def _load(part: Part, weights: Path, device: str) -> Any:
    module, method = part.load.split(":")
    made: Any = import_module(f"tracking.masks.{module}")
    for name in method.split("."):
        made = getattr(made, name)
    return made(weights, device)
