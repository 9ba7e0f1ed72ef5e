"""The name of what encodes the cameras' images for actor and critics. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from mpr.core.errors import UserError
from mpr.predictor.registry import ENCODERS, Encoder, check_features, find_encoder

BASE_ENCODER = "base"  # the base policy's own


def check_encoder(name: str) -> None:
    """Raises UserError for what is no encoder, or for one that is only ever trained along with a policy."""
    if name not in ("", BASE_ENCODER) and not Path(name).is_dir():
        frozen_encoder(name)


def frozen_encoder(name: str) -> Encoder:
    """The frozen encoder of that name. Raises UserError naming those that exist."""
    if name not in ENCODERS.names():
        frozen = [other for other in ENCODERS.names() if find_encoder(other).frozen]
        raise UserError(
            f"no encoder '{name}'; there is {BASE_ENCODER}, {', '.join(frozen)}, and run folders of `mpr pretrain`"
        )
    check_features(name)
    found = find_encoder(name)
    if not found.frozen:
        raise UserError(f"encoder '{name}' is trained along with a policy: say {BASE_ENCODER}, the base policy's own")
    return found
