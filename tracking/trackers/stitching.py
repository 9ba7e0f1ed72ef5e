"""A tracker that looks at one window of frames at a time, over clips of any length: windows that overlap, stitched.

A point goes on into the next window from the last frame of the overlap on which it is seen. One that is seen on none
is lost and stays hidden: asked for where it was last thought to be, a tracker would attach it to whatever is there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mpr.core.data.clip import Tracks

# (start, stop, queries [N, 3] = (t - start, x, y)) -> tracks over the frames start .. stop - 1; what it says of a
# point's frames before its query is not looked at.
TrackWindow = Callable[[int, int, NDArray[np.float32]], Tracks]


def tracking_window_starts(length: int, window: int, overlap: int) -> list[int]:
    """First frames of windows over a clip, each with at least `overlap` frames of the one before.

    All are whole (the last is moved back to end with the clip), but that of a clip shorter than a window.
    """
    last = max(length - window, 0)
    return [*range(0, last, window - overlap), last]


def track_in_windows(
    track: TrackWindow, length: int, queries: NDArray[np.float32], window: int, overlap: int
) -> Tracks:
    """Follow queries [N, 3] = (t, x, y) forwards through `length` frames, at most `window` of them at a time.

    Before its query's frame a point is hidden and at its query's place; a lost point keeps its last place. A point to
    which a window has nothing to say (lost, or asked for later) is still among its queries, so that their number stays.
    """
    asked = queries[:, 0].astype(int)
    points = np.repeat(queries[None, :, 1:].astype(np.float32), length, 0)  # [T, N, 2]
    visible = np.zeros((length, len(queries)), bool)
    done = 0  # frames that have been looked at
    for start in tracking_window_starts(length, window, overlap):
        stop = min(start + window, length)
        seen = np.where(visible[start:done], np.arange(start, done)[:, None], -1).max(0, initial=-1)  # [N] last frame
        new = (asked >= done) & (asked < stop)
        lost = (asked < done) & (seen < 0)
        points[done:, lost] = points[max(done - 1, 0), lost]
        enters = np.where(new, asked, np.maximum(seen, start))  # [N] frame on which a point enters this window
        places = points[enters, np.arange(len(queries))]
        found = track(start, stop, np.column_stack([enters - start, places]).astype(np.float32))
        frame = np.arange(start, stop)[:, None]
        tells = (new & (frame >= enters)) | ((seen >= 0) & (frame > enters))  # [S, N]
        points[start:stop] = np.where(tells[..., None], found.points, points[start:stop])
        visible[start:stop] = np.where(tells, found.visible, visible[start:stop])
        done = stop
    return Tracks(points, visible)
