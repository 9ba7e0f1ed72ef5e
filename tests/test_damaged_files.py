"""Whatever one value, byte or line of a file is: a command reads it, or refuses it in one line. It never falls."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from mpr.core.errors import UserError
from mpr.core.runs import _OWNED
from tests.damage import damage
from tests.damaged_folders import KINDS, Kind, right_again

LONGEST = 700  # characters of a refusal


@pytest.mark.timeout(0)  # however many examples are asked for, of however busy a machine
@pytest.mark.parametrize("name", KINDS)
def test_no_damaged_file_makes_a_command_fall(
    name: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    kind, whole, counted = KINDS[name], tmp_path_factory.mktemp("whole"), Counter[str]()
    root = tmp_path_factory.mktemp("damaged")
    kind.make(root)
    forget_locks()
    shutil.copytree(root, whole, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
    assert outcome(kind, root) == "taken"
    files = sorted({file.relative_to(whole) for glob in kind.files for file in whole.glob(glob) if file.is_file()})
    assert files
    for number in range(kind.count * int(request.config.getoption("--examples") or 1)):
        chance = Random(f"{name} {number}")
        shutil.rmtree(root)
        shutil.copytree(whole, root)
        file = root / chance.choice(files)
        damage(file, chance)
        if kind.sums and chance.random() < 0.5:
            for folder in root.glob(kind.sums):
                right_again(folder)
        became = outcome(kind, root)
        assert became in ("taken", "refused"), f"{name}, example {number}, {file.relative_to(root)}:\n{became}"
        counted[became] += 1
    print(f"{name}: {dict(counted)}")


def outcome(kind: Kind, root: Path) -> str:
    """taken, refused (in one line), or what was said instead."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            status = kind.read(root, root / "out")
    except UserError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < LONGEST else str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return traceback.format_exc()
    finally:
        forget_locks()
    if status in (0, None) or not isinstance(status, int):
        return "taken"
    _, mark, refusal = said.getvalue().rpartition("mpr: ")
    one_line = mark and refusal.endswith("\n") and "\n" not in refusal[:-1] and len(refusal) < LONGEST
    return "refused" if status == 2 and one_line else f"status {status}: {said.getvalue()[-3000:]}"


def forget_locks() -> None:
    """A run folder's lock is held until its process ends, and the folders here are many."""
    for lock in _OWNED.values():
        os.close(lock)
    _OWNED.clear()
