"""Where torch works: a device asked for by name, or the best there is."""

from __future__ import annotations

import os

from mpr.core.errors import NotReady, UserError


def check_device(asked: str) -> None:
    """Raises UserError for a name that is no device of ours."""
    if asked not in ("auto", "cpu") and not asked.startswith("cuda"):
        raise UserError(f"no device '{asked}'; there is auto, cpu, cuda, cuda:N")


def resolved_device(asked: str) -> str:
    """`asked`, or for auto a GPU (this rank's) before the CPU. Raises NotReady for a GPU that is not there."""
    import torch  # takes seconds, and the check of a name needs none

    check_device(asked)
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise NotReady(f"--device {asked}: this machine has no GPU that torch can use; give --device cpu")
    if asked != "auto":
        return asked
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
