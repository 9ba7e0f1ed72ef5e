"""Encoders by name, for predictors, policies and rewards: what each gives, and where its weights lie. Imports none.

    tokens      (size, weights) -> a module: uint8 frames [B, size.image, size.image, 3] to patch tokens [B, S, D],
                S = grid * grid in row-major order, with `grid` and `width` = D: for `mpr train --encoder`
    features    (weights) -> a module: uint8 frames [B, H, W, 3] of any size to one vector each [B, F]: for
                `mpr bc --encoder`

What is done to pixels is done inside. Each is the thing itself or its "module:attribute", imported on use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError
from mpr.core.registry import Registry, attribute
from mpr.predictor.sizes import PredictorSize

ENCODERS = Registry(
    "encoder",
    "mpr.encoders",
    {
        "vit": "mpr.predictor.registry:VIT",
        "dinov2": "mpr.predictor.registry:DINOV2",
        **{name: f"rl.policies.diffusion.sizes:{name.upper()}" for name in ("resnet18", "r3m18", "r3m34", "r3m50")},
    },
)


@dataclass(frozen=True)
class Encoder:
    """What sees frames. One that is trained along has no weights of its own; a frozen one's are never trained."""

    tokens: Callable[[PredictorSize, Path], Any] | str | None = None
    features: Callable[[Path], Any] | str | None = None
    frozen: bool = False
    weights: Path = Path()  # where they are looked for unless said otherwise
    width: int = 0  # D of a frozen one's tokens, F of one's features that is trained along: known before it is made

    def make_tokens(self, size: PredictorSize, weights: Path | None = None) -> Any:
        """The module. Raises MissingWeights, and NotReady for weights that are not its own."""
        return _itself(self.tokens)(size, weights or self.weights)

    def make_features(self, weights: Path | None = None) -> Any:
        """The module. Raises MissingWeights, and UserError for weights that are not its own."""
        return _itself(self.features)(weights or self.weights)


def find_encoder(name: str) -> Encoder:
    """The encoder of that name. Raises UserError naming those that exist, and for what is no encoder."""
    found = ENCODERS.load(name)
    if not isinstance(found, Encoder):
        raise UserError(f"encoder '{name}' is {found!r}, no Encoder of mpr.predictor.registry")
    return found


def check_tokens(name: str) -> None:
    """Raises UserError for an encoder that does not exist or has no patch tokens, which a predictor looks at."""
    if find_encoder(name).tokens is None:
        raise UserError(f"encoder '{name}' makes one vector of a frame: a predictor looks at patch tokens, as of vit")


def check_features(name: str) -> None:
    """Raises UserError for an encoder that does not exist or has no vector for a frame, which a policy looks at."""
    if find_encoder(name).features is None:
        raise UserError(f"encoder '{name}' makes patch tokens: a policy looks at one vector a frame, as of resnet18")


def _itself(made: Any) -> Any:
    return attribute(made) if isinstance(made, str) else made


VIT = Encoder(tokens="mpr.predictor.encoders:SmallViT.of")
DINOV2 = Encoder(
    tokens="mpr.predictor.encoders:FrozenDino.of",
    features="rl.policies.diffusion.encoders:FrozenDinoClass",
    frozen=True,
    weights=Path("weights/dinov2-small"),
    width=384,  # of DINOv2-S
)
