"""matplotlib without a window, imported only when something is drawn: it takes a second."""

from __future__ import annotations

from typing import Any


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of that many inches on a canvas without a window, and pyplot, to close it with."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height)), plt
