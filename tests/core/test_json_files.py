"""JSON held to types: what fits is let through, what does not is named in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr.core.checksums import CHECKSUM_FILE, check_file, write_sums
from mpr.core.data.clip import Square
from mpr.core.json_files import check_json, parsed, read_object


class Needed(TypedDict):
    n: int
    x: float
    pair: tuple[int, int]


class Told(Needed, total=False):
    name: str | None
    how: Literal["a", "b"]
    square: Square
    sums: dict[str, str]
    rows: list[list[float]]


RIGHT: dict[str, Any] = {"n": 1, "x": 2, "pair": [3, 4], "name": None, "how": "b", "sums": {"f": "0"}, "rows": [[1.5]]}
RIGHT |= {"square": {"left": 0, "top": 0.5, "size": 2}, "unasked": [1]}


def test_what_fits_is_let_through():
    check_json(RIGHT, Told)
    check_json({key: RIGHT[key] for key in ("n", "x", "pair")}, Told)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n": True}, "n is True, a whole number"),
        ({"n": 1.0}, "n is 1.0, a whole number"),
        ({"n": 10**30}, "n is a number of very many digits"),
        ({"x": float("nan")}, "x is nan, a number"),
        ({"x": "1"}, "x is '1', a number"),
        ({"pair": [1]}, "pair has 1 items, 2 are needed"),
        ({"pair": "34"}, "pair is '34', a list"),
        ({"name": []}, "name is a list of 0, a text"),
        ({"how": "c"}, "how is 'c', not one of a, b"),
        ({"square": {"left": 0, "top": 0}}, "'square.size' is missing"),
        ({"square": {"left": 0, "top": 0, "size": 1, "side": 1}}, "square.side is unknown"),
        ({"sums": {"f": 0}}, "sums.f is 0, a text"),
        ({"rows": [[1], [None]]}, r"rows\[1\]\[0\] is None, a number"),
    ],
)
def test_what_does_not_fit_is_named(changed, said):
    with pytest.raises(ValueError, match=said):
        check_json(RIGHT | changed, Told)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RIGHT, "\n"]), inner, max_size=4),
)


@settings(deadline=None)
@given(VALUES)
def test_any_value_fits_or_is_refused_in_one_line(value):
    try:
        check_json(value, Told)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert value.keys() >= {"n", "x", "pair"}


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"{", b"\xff\xfe", "1" * 5000])
def test_what_no_reader_takes_is_a_value_error(text):
    with pytest.raises(ValueError):
        parsed(text)


def test_a_file_is_an_object_of_its_kind(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"n": 1, "x": 1e400, "pair": [1, 2]}')
    with pytest.raises(ValueError, match="x is inf"):
        read_object(tmp_path / "a.json", Told)
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="it is a list of 0, an object is needed"):
        read_object(tmp_path / "a.json", Told)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 7), st.integers(0, 99))
def test_no_flipped_bit_passes_for_what_was_written(tmp_path_factory, bit, at):
    folder = tmp_path_factory.mktemp("sums")
    file, content = folder / "weights", bytearray(range(100))
    file.write_bytes(content)
    check_file(file)  # nothing to compare with: older than checksums
    write_sums(folder)
    check_file(file)
    content[at] ^= 1 << bit
    file.write_bytes(content)
    with pytest.raises(ValueError, match="its checksum is another"):
        check_file(file)
    (folder / CHECKSUM_FILE).write_text((folder / CHECKSUM_FILE).read_text().replace("weights", "others"))
    with pytest.raises(ValueError, match="does not list it"):
        check_file(file)
