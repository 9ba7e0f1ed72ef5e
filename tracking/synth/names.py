"""What synthetic clips there are, by the names that commands and recordings use."""

from __future__ import annotations

SYNTH_TASKS = ("open_microwave", "open_hinge_cabinet", "open_slide_cabinet")
SYNTH_KINDS = ("open", "close", "miss")
