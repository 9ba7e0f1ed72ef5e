"""Files changed in one value, byte, bit or line at a time, by chance that a seed decides."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

DEEP = 100_000  # brackets
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x",
    "\ud800", "a\0b", "/", "..", "two\nlines", "9" * 5000, "²", [], {}, [None], {"a": None}, [[1, 2], [3]], [1e308] * 3,
]  # fmt: skip
WORDS = [
    "", " ", "x", "-1", "0", "nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "²", "١", "\0", "00:00:99.9", "::",
    "-1:00:00", f"{'9' * 400}:00:00", "1x", "x1", "²x²", "0x0", "[" * 300, "['a', ['b']]", "{'a': 1}", "[1]", "\u2028",
    "\ud800", "!!bool x", "&a [*a]", "? [a]", "!!int ''", "!!timestamp x", "!!python/none", "- 1", "a: b: c", '"', "é",
]  # fmt: skip


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    """Where every value lies in a JSON value, itself included."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*at, key))


def put(value: Any, at: tuple, change: Callable[[Any, Any], None]) -> None:
    """Call `change` with the container and the key that lie at a place."""
    for key in at[:-1]:
        value = value[key]
    change(value, at[-1])


def odd_json(text: bytes, chance: Random) -> bytes:
    """One value another, gone, or one more; or something that is no JSON for any reader."""
    value = json.loads(text)
    some = [at for at in places(value) if at]
    if not some or chance.random() < 0.05:
        return chance.choice([b"", b"null", b"[]", b"[" * DEEP, b'{"a":' * DEEP, b"\xff\xfe", text[: len(text) // 2]])
    at, how, new = chance.choice(some), chance.random(), chance.choice(ODD)
    value = copy.deepcopy(value)
    if how < 0.7:
        put(value, at, lambda inside, key: inside.__setitem__(key, new))
    elif how < 0.9:
        put(value, at, lambda inside, key: inside.pop(key))
    else:
        put(value, at, lambda inside, key: inside.update({"odd": new}) if isinstance(inside, dict) else None)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def odd_line(text: bytes, chance: Random) -> bytes:
    """One line another, blank, gone, twice or cut short, or a word of it another."""
    lines = text.split(b"\n")
    k, how = chance.randrange(len(lines)), chance.randrange(6)
    word = chance.choice(WORDS).encode("utf-8", "surrogatepass")
    begin, colon, _ = lines[k].partition(b":")
    new = [[word], [b"", b" \t"], [], [lines[k]] * 2, [lines[k][: len(lines[k]) // 2]], [begin + colon + b" " + word]]
    return b"\n".join([*lines[:k], *new[how], *lines[k + 1 :]])


def odd_cell(text: bytes, chance: Random) -> bytes:
    """One cell of a CSV table another."""
    if chance.random() < 0.2:
        return odd_line(text, chance)
    rows = list(csv.reader(io.StringIO(text.decode())))
    row = chance.choice(rows[1:] if chance.random() < 0.9 else rows)
    row[chance.randrange(len(row))] = chance.choice(WORDS)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def odd_bytes(content: bytes, chance: Random) -> bytes:
    """One bit flipped, one byte another, one more or less, or the end gone."""
    changed, k, how = bytearray(content), chance.randrange(len(content)), chance.randrange(5)
    if how < 2:
        changed[k] ^= 1 << chance.randrange(8)
    elif how == 2:
        changed[k] = chance.randrange(256)
    elif how == 3:
        changed[k : k + 1] = [] if chance.random() < 0.5 else [changed[k]] * 2
    else:
        del changed[k:]
    return bytes(changed)


def odd_arrays(content: bytes, chance: Random) -> bytes:
    """One array of an .npz gone, of another type or shape, or with an odd number in it."""
    with np.load(io.BytesIO(content)) as z:
        arrays = dict(z)
    name = chance.choice(sorted(arrays))
    array, how = arrays[name].copy(), chance.randrange(8)
    if how < 3 and array.size:
        number = chance.choice([np.nan, np.inf, 1e30, -1e300, -1.0, 0.0, 255.0])
        with np.errstate(all="ignore"):
            array.reshape(-1)[chance.randrange(array.size)] = np.array(number).astype(array.dtype)
    elif how == 3:
        with np.errstate(all="ignore"):
            array = array.astype(chance.choice(["f2", "i1", "u8", "U3", "?", "c16", "S2"]))
    elif how == 4:
        array = array[:-1] if array.ndim else array[None]
    elif how == 5:
        array = array[..., None] if chance.random() < 0.5 else array.reshape(-1)
    elif how == 6:
        array = array[:0] if array.ndim else array
    arrays[name] = array
    if how == 7:
        del arrays[name]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def odd_rows(file: Path, chance: Random) -> None:
    """One value of a parquet table another: of one row alone where its type allows, of its column where not."""
    import pyarrow  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]

    rows = parquet.read_table(file).to_pylist()
    name, new = chance.choice(sorted(rows[0])), chance.choice(ODD)
    if chance.random() < 0.15:
        rows = [{key: value for key, value in row.items() if key != name} for row in rows]
    else:
        chance.choice(rows)[name] = new
    for tried in (rows, [{**row, name: new} for row in rows], [{**row, name: None} for row in rows]):
        try:
            parquet.write_table(pyarrow.Table.from_pylist(tried), file)
            return
        except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):  # no parquet can hold it
            pass


def damage(file: Path, chance: Random) -> None:
    """Change one thing in a file, as its kind allows."""
    if file.suffix == ".parquet":
        return odd_rows(file, chance)
    content = file.read_bytes()
    hows: dict[str, Callable[[bytes, Random], bytes]] = {
        ".json": odd_json, ".csv": odd_cell, ".jsonl": odd_line, ".yaml": odd_line, ".md": odd_line, ".npz": odd_arrays,
    }  # fmt: skip
    how = hows.get(file.suffix, odd_bytes)
    if file.suffix == ".npz" and chance.random() < 0.5:
        how = odd_bytes
    if file.suffix == ".json" and chance.random() < 0.1:
        how = odd_line
    file.write_bytes(how(content, chance))
