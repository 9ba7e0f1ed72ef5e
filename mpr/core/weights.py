"""Downloaded weights from a local folder: missing, damaged or another model's, they are refused by name."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpr.core.errors import MissingWeights, NotReady

_BY_BOX = "or give a box, which needs no weights: `mpr track --video FILE --box x0,y0,x1,y1`"


@dataclass(frozen=True)
class Published:
    """Weights as their authors publish them."""

    name: str
    get: str  # command that fetches them, with {} for the place
    licence: str
    types: tuple[str, ...] = ()  # what config.json may call the model; none: anything
    instead: str = _BY_BOX  # what does without them

    def missing(self, place: Path) -> MissingWeights:
        how = f"get them with `{self.get.format(place)}` (licence {self.licence})"
        return MissingWeights(f"no {self.name} weights at {place}: {how}, {self.instead}")

    def damaged(self, place: Path, why: object) -> NotReady:
        return NotReady(f"{place} does not hold {self.name}'s weights whole ({first_line(why)}): fetch them again")


def first_line(why: object) -> str:
    """The first line of what an error says, or its class where it says nothing."""
    return (str(why).strip().splitlines() or [type(why).__name__])[0]


def load_published(
    folder: Path, published: Published, model: str, processor: str = "", device: str = "cpu", unused: str = "-"
) -> tuple[Any, Any]:
    """A transformers model in evaluation mode and its processor (None unless asked for), from a local folder.

    Fetches nothing. Parameters whose names begin with `unused` may be missing. Raises MissingWeights where the folder
    has none, and NotReady for what is damaged or another model's.
    """
    config = folder / "config.json"
    if not config.is_file() or not any(folder.glob("*.safetensors")):
        raise published.missing(folder)
    try:
        kind = json.loads(config.read_text()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise published.damaged(folder, error) from error
    if published.types and kind not in published.types:
        raise NotReady(f"{folder} holds a model of type {kind}, not {published.name} ({', '.join(published.types)})")
    transformers = imported("transformers", "pip install 'transformers>=5.20,<6'")
    try:
        loaded, info = getattr(transformers, model).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        ready = getattr(transformers, processor).from_pretrained(folder, local_files_only=True) if processor else None
    except ImportError as error:
        raise NotReady(f"{published.name} needs a package that is not installed: {first_line(error)}") from error
    except Exception as error:  # a torn file fails anywhere in the library: safetensors, tokenizers, configs
        raise published.damaged(folder, error) from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(unused))
    if missing:  # the library would go on with random numbers in their place
        raise published.damaged(folder, f"{len(missing)} missing, {missing[0]} first")
    return loaded.to(device).eval(), ready


def imported(package: str, install: str) -> Any:
    """A package that only some need. Raises MissingWeights saying how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name and error.name.split(".")[0] != package.split(".")[0]:
            raise MissingWeights(f"{package} needs {error.name}, which is not installed: {install}") from error
        raise MissingWeights(f"{package} is not installed: {install}, {_BY_BOX}") from error
