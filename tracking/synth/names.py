"""What synthetic clips there are, by the names that commands and recordings use."""

from __future__ import annotations

TASKS = ("open_microwave", "open_hinge_cabinet", "open_slide_cabinet")
KINDS = ("open", "close", "miss")
