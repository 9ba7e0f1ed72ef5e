"""SHA256SUMS beside a folder's files, for `sha256sum -c` and for us: what was not written so is not read."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHECKSUM_FILE = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Of all files in the folder, once they are written; a list that is there is replaced."""
    names = sorted(file.name for file in folder.iterdir() if file.name != CHECKSUM_FILE)
    (folder / CHECKSUM_FILE).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> checksum. Raises ValueError for a list that is torn."""
    *lines, rest = (folder / CHECKSUM_FILE).read_bytes().decode(errors="replace").split("\n")
    parts = [line.partition("  ") for line in lines]
    listed = {name: wanted for wanted, _, name in parts}
    if rest or any(not name or "/" in name or "\0" in name for name in listed):
        raise ValueError(f"{CHECKSUM_FILE} is torn, or was changed")
    return listed


def check_file(file: Path) -> None:
    """Compare a file with its line in the SHA256SUMS beside it.

    Raises ValueError where that says something else of it, or nothing. A folder without one is older than checksums:
    there is nothing to compare with.
    """
    if not (file.parent / CHECKSUM_FILE).is_file():
        return
    wanted = read_sums(file.parent).get(file.name)
    if wanted is None:
        raise ValueError(f"{CHECKSUM_FILE} does not list it")
    if sha256(file) != wanted:
        raise ValueError("its checksum is another: it is torn, or was changed since it was written")


def sha256(file: Path) -> str:
    """In hexadecimal digits, of a file of any size."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
