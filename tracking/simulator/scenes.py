"""Simulator scenes by name: what builds the model that a SceneRecording was made in. Imports none of them."""

from __future__ import annotations

from mpr.core.registry import Registry

SCENES = Registry(
    "scene",
    "mpr.scenes",
    {"synth": "tracking.synth.scene:build_appliance", "kitchen": "rl.environments.kitchen.scene:build_kitchen"},
)
