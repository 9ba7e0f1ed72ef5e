"""matplotlib without a window, imported only when something is drawn: it takes a second."""

from __future__ import annotations

from typing import Any


def new_figure(width: float, height: float) -> Any:
    """A figure of that many inches on a canvas of its own: pyplot, and the window system it may use, are left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure
