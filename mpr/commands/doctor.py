"""`mpr doctor`: what this machine has and what it lacks, and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import parse_config
from mpr.core.runs import free_bytes, versions
from mpr.core.weights import Published

RENDER = """
import time
from tracking.simulator.gl import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>")
model.vis.quality.offsamples = 0
data = mujoco.MjData(model); mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 256, 256) as renderer:
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
    renderer.update_scene(data); image = renderer.render(); start = time.perf_counter()
    for _ in range(20): renderer.update_scene(data); image = renderer.render()
    print(f"{20 / (time.perf_counter() - start):.0f}" if image[128, 128, 0] > 30 else "black")
"""


@dataclass(frozen=True)
class DoctorConfig:
    """Checks this machine: GL, GPU, weights, versions, disk. Changes nothing."""

    weights: Path = Path("weights")  # folder in which downloaded weights are looked for
    out: Path = Path("runs")  # folder whose disk is checked


def try_backend(backend: str) -> str:
    """Render a frame with one MUJOCO_GL back end, in a process of its own. Says 'works, N frames/s' or why not."""
    environment = {**os.environ, "MUJOCO_GL": backend}
    try:
        done = subprocess.run(
            [sys.executable, "-c", RENDER], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "no (no frame within 60 s)"
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return f"no ({reason[:90]})"
    rate = done.stdout.split()[-1]
    return (
        "no (the frame is black)"
        if rate == "black"
        else f"works, {rate} frames/s of one ball at 256x256 without shadows"
    )


def optional_weights() -> dict[str, Published]:
    """What may be downloaded, by its place below the folder of weights."""
    from mpr.predictor.encoders import DINO
    from tracking.masks import cutie, owlv2, sam2, sam2_package, sam2_video, sam3
    from tracking.masks.registry import MASK_MODELS
    from tracking.trackers import cotracker

    return {
        "dinov2-small": DINO,
        MASK_MODELS["owlv2"].weights: owlv2.OWLV2_WEIGHTS,
        MASK_MODELS["sam2"].weights: sam2.SAM2_WEIGHTS,
        MASK_MODELS["sam2_package"].weights: sam2_package.SAM2_PACKAGE_WEIGHTS,
        MASK_MODELS["cutie"].weights: cutie.CUTIE_WEIGHTS,
        MASK_MODELS["edgetam"].weights: sam2_video.EDGETAM,
        MASK_MODELS["sam3"].weights: sam3.SAM3_WEIGHTS,
        **{cotracker.COTRACKER_FILES[name]: published for name, published in cotracker.COTRACKER_WEIGHTS.items()},
    }


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr doctor`: prints versions, ways to render, GPUs, CPU, optional weights and free disk."""
    config, _ = parse_config(DoctorConfig, argv, "mpr doctor")
    print("versions   " + ", ".join(f"{k} {v}" for k, v in versions().items()))
    results = {backend: try_backend(backend) for backend in ("egl", "osmesa", "glfw")}
    for backend, result in results.items():
        print(f"GL {backend:<7} {result}")
    if not any(r.startswith("works") for r in results.values()):
        from tracking.simulator.gl import INSTRUCTION

        print(f"GL         {INSTRUCTION}")
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(i).total_memory / 1e9
            print(f"GPU        {torch.cuda.get_device_name(i)}, {memory:.0f} GB")
    else:
        print("GPU        none (not needed: the embedded default runs on the CPU)")
    print(f"CPU        {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
    for name, published in optional_weights().items():
        place = config.weights / name
        there = place.is_file() or ((place / "config.json").is_file() and any(place.glob("*.safetensors")))
        print(f"weights    {f'{published.name}: found at {place}' if there else published.missing(place)}")
    print(f"disk       {free_bytes(config.out) / 1e9:.1f} GB free at {config.out}")
