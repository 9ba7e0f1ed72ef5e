"""A package of somebody else's that adds things by entry point, as pip would have installed it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

Groups = Mapping[str, Mapping[str, str]]  # entry point group -> name -> "module:attribute"


def installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], groups: Groups, name: str = "other-package"
) -> None:
    """Write its modules and its metadata into `folder` and put that on the path, for as long as the test lasts."""
    for file, text in files.items():
        (folder / file).write_text(text)
        monkeypatch.delitem(sys.modules, Path(file).stem, raising=False)
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in things.items()) for group, things in groups.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
