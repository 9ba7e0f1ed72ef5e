"""What the position and turn of an action count from. Imports nothing."""

from __future__ import annotations

FROM_MEASURED = "measured"  # where the arm is measured, as the paper's
FROM_LAST = "last"  # the last target; after a stop, where the arm is measured
