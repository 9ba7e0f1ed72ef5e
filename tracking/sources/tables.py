"""Rows of CSV, JSON and JSON-lines tables, each with where it stands; what is no table is refused by name."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError
from mpr.core.json_files import parsed, shortly

_KEPT = 4 << 20  # bytes of a table: its rows take some ten times as much memory

# JSON can name half a character ("\\ud800" with no other half beside it, or its bytes), which no file, screen or
# tokenizer takes: it is read as "?". The regex is slow, and files are of gigabytes: SIGNS are looked for first.
SIGNS = (b"\\ud", b"\\uD", b"\xed")
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
    rb"|\xed[\xa0-\xbf]"
)


def table_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """("file, line 12", {column: value}) of each row; CSV values are texts. Raises UserError.

    JSON is a list of objects, or an object that holds one such list ({"clips": [...]}).
    """
    if not file.is_file():
        raise UserError(f"table {file} does not exist")
    if file.suffix.lower() == ".csv":
        yield from _csv_rows(file)
    elif file.suffix.lower() == ".jsonl":
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{file}, line {number}"
                    yield where, _object(where, _parsed(where, line))
    else:
        content = load_json(file)
        if isinstance(content, dict):
            lists = [value for value in content.values() if isinstance(value, list)]
            content = lists[0] if len(lists) == 1 else content
        if not isinstance(content, list):
            raise UserError(f"{file} is neither a list of objects nor an object with one list of them")
        for number, row in enumerate(content, 1):
            where = f"{file}, item {number}"
            yield where, _object(where, row)


def rows_again(file: Path) -> Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]:
    """The `table_rows` of a table that is gone through more than once.

    JSON and small files are read once and kept, others are read again.
    """
    if file.suffix.lower() in (".csv", ".jsonl") and file.is_file() and file.stat().st_size > _KEPT:
        return lambda: table_rows(file)
    kept = list(table_rows(file))
    return lambda: kept


def load_json(file: Path) -> Any:
    """A JSON file, whole in memory: the standard parser takes some five times the file's size while it is open.

    Raises UserError where it is missing or no JSON.
    """
    if not file.is_file():
        raise UserError(f"{file} does not exist, or is no file")
    return _parsed(str(file), file.read_bytes())


def needed(where: str, row: Mapping[str, Any], name: str) -> str:
    """The text in a column. Raises UserError where it is missing or empty."""
    value = row.get(name)
    if isinstance(value, list | dict):
        raise UserError(f"{where}: '{name}' is {shortly(value)}, not a text")
    value = str(value or "").strip()
    if not value:
        raise UserError(f"{where}: '{name}' is missing")
    return value


def number(where: str, row: Mapping[str, Any], name: str) -> float:
    """The number in a column; NaN and infinity are numbers here. Raises UserError where it is none."""
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: '{name}' is {str(row.get(name))[:40]!r}, not a number") from error


def _csv_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            heading = next(reader, None)
            if not heading:
                raise UserError(f"table {file} is empty")
            for cells in reader:
                if not cells:
                    continue
                where = f"{file}, line {reader.line_num}"
                if len(cells) != len(heading):
                    raise UserError(f"{where}: not {len(heading)} columns as the heading; is the file whole?")
                yield where, dict(zip(heading, cells, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"table {file} cannot be read ({error})") from error


def _parsed(where: str, text: bytes) -> Any:
    try:
        content = parsed(text)
        if any(sign in text for sign in SIGNS) and _HALF.search(text):
            content = json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
        return content
    except (ValueError, RecursionError) as error:  # json.dumps, too, falls over what is nested
        raise UserError(f"{where}: not JSON ({error}); is the file whole?") from error


def _object(where: str, row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{where}: not an object")
    return row
