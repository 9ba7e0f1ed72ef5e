"""A CPU's arithmetic, set for speed while updates are made."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def quick_arithmetic() -> Iterator[None]:
    """Set a CPU's arithmetic for speed, as long as this is open.

    Float32 products by oneDNN where they stay float32, denormals as zero (Adam's second moments decay into them). Both
    as they were afterwards.
    """
    before, flushed = torch.get_float32_matmul_precision(), bool(torch.tensor(1e-40) * 1 == 0)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("medium")
    if not _products_exact():
        torch.set_float32_matmul_precision(before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_flush_denormal(flushed)


@functools.cache
def _products_exact() -> bool:
    """Whether products are still float32: CPUs with bfloat16 units may use those under this setting."""
    x = torch.linspace(1.0, 2.0, 256 * 256).reshape(256, 256)
    return bool(torch.allclose((x @ x).double(), x.double() @ x.double(), rtol=1e-5, atol=0.0))
