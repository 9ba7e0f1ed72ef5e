"""Modules under the names that they had before they moved: imported with a warning, and the very same modules.

Installed by `tracking`, `rl` and `robot`. A name that is a folder's now (`mpr.reward`, `mpr.predictor`, `mpr.training`,
`tracking.trackers`) has no old meaning left. CHANGELOG says where things are.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_CORE = "errors config runs processes attempts device weights json_files checksums"
_DATA = "clip steps boundaries retime scene video display colour crop"
MOVED_MODULES = {
    **{f"tracking.{name}": f"mpr.core.{name}" for name in _CORE.split()},
    **{f"tracking.{name}": f"mpr.core.data.{name}" for name in _DATA.split()},
    **{f"tracking.{name}": f"tracking.trackers.{name}" for name in ("lucas_kanade", "cotracker", "tapvid")},
    **{f"tracking.{name}": f"tracking.motion.{name}" for name in ("points", "segments", "compensation", "true_motion")},
    **{f"tracking.{name}": f"tracking.clips.{name}" for name in ("from_video", "from_recording", "overlay", "quality")},
    **{f"tracking.{name}": f"tracking.simulator.{name}" for name in ("gl", "mujoco_scene", "mujoco_render")},
    **{f"tracking.{name}": f"tracking.masks.{name}" for name in ("box_mask", "lost", "unseen")},
    "tracking.store": "mpr.core.data.clip_folder",
    **{f"mpr.{name}": f"mpr.core.report.{name}" for name in ("page", "figures", "intervals")},
    **{f"mpr.{name}": f"mpr.predictor.{name}" for name in ("encoders", "sizes", "samples", "checkpoint", "predicted")},
    **{f"mpr.{name}": f"mpr.reward.{name}" for name in ("scoring", "tracked")},
    "mpr.standins": "mpr.reward.baselines",
    "mpr.episode": "mpr.core.data.episode",
    "mpr.rewards": "mpr.reward.model",
    "rl.kitchen": "rl.environments.kitchen",
    "rl.kitchen.pictures": "rl.environments.kitchen.images",
    "rl.diffusion": "rl.policies.diffusion",
    "rl.starts": "rl.environments.starts",
    "rl.base_policy": "rl.policies.base_policy",
    "rl.demonstrations": "rl.data.demonstrations",
    "rl.residual.environment": "rl.environments.residual",
    "rl.residual.policy": "rl.policies.residual",
    "robot.arms.simulated": "robot.simulated",
    "robot.arms.simulated.eyes": "robot.simulated.camera_renderer",
    "robot.recording.kept": "robot.recording.episode_buffer",
    **{f"robot.{name}": f"robot.hardware.{name}" for name in ("arm", "camera", "clock", "pose", "action", "view")},
}


def new_name(name: str) -> str | None:
    """Where a module is now, one of a folder that moved included; None where it is where it was."""
    head, rest = name, ""
    while head not in MOVED_MODULES:
        head, dot, last = head.rpartition(".")
        if not dot:
            return None
        rest = f".{last}{rest}"
    return MOVED_MODULES[head] + rest


class _Moved(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if new_name(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        new = new_name(module.__name__)
        assert new is not None
        warnings.warn(f"{module.__name__} is {new} now (CHANGELOG.md)", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def install() -> None:
    """Once a process, before the finders that would load a moved file a second time under its old name."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
