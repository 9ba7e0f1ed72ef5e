"""A function as one compiled C++ function: products stay PyTorch's, all between them becomes a few loops."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from mpr.core.errors import UserError


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, compiled when it is first called (seconds) and again for other shapes."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(
        logging.ERROR
    )  # it warns that there is no GPU: none is asked
    return torch.compile(function, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})


def refuse_to_compile(device: torch.device) -> None:
    """Raises UserError where that cannot be done: finds out by compiling a trifle."""
    if device.type != "cpu":
        raise UserError(f"compiled updates are for the CPU, not for {device}")
    try:
        compiled(torch.neg)(torch.zeros(4))
    except RuntimeError:  # of several kinds, with pages of the compiler's output
        needed = "a C++ compiler and Python's headers (Debian's packages g++ and python3-dev)"
        raise UserError(f"nothing can be compiled here: install {needed}") from None


def compiles_here(device: torch.device, went_before: bool | None) -> bool:
    """Whether the updates of a run that leaves it open are compiled: as they `went_before`, else where they can be.

    It is said where they are not. Raises UserError where they were, and nothing can be compiled now: other last bits
    would end otherwise than an unbroken run.
    """
    if went_before is False:
        return False
    try:
        refuse_to_compile(device)
    except UserError as error:
        if went_before:
            raise UserError(f"this run began with compiled updates, and goes on only so; {error}") from None
        print(f"updates are not compiled, so they take a third longer: {error}")
        return False
    return True
