"""The manifest that `mpr find` writes and `mpr track --manifest` reads."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpr.core.errors import UserError
from tracking.sources.manifest import UID, Entry, as_uid, read_manifest, write_manifest

ENTRY = Entry("epic100", "P01_1", "P01.MP4", 1.0, 2.5, "open fridge", "open", "fridge", "CC BY-NC 4.0", "P01")

texts = st.text(max_size=20)  # hypothesis leaves out lone surrogates by itself
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
entries = st.builds(
    lambda start, length, **rest: Entry(start_s=start, stop_s=start + length, **rest),
    start=st.floats(0, 1e5),
    length=st.floats(1e-3, 1e4),
    dataset=texts.filter(bool),
    uid=st.from_regex(UID, fullmatch=True),
    video=names,
    narration=texts,
    verb=texts,
    noun=texts,
    licence=texts.filter(bool),
    group=texts,
    extra=st.dictionaries(texts, json_values, max_size=3),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries, min_size=1, max_size=5, unique_by=lambda e: e.uid))
def test_what_is_written_is_read(tmp_path, written):
    write_manifest(tmp_path / "m.jsonl", written)
    assert read_manifest(tmp_path / "m.jsonl") == written
    assert (tmp_path / "m.jsonl").read_bytes().count(b"\n") == len(written)  # a line each, whatever a text holds


@given(texts)
def test_any_text_can_be_made_a_uid_and_a_uid_stays(text):
    assert UID.fullmatch(as_uid(text))
    assert as_uid(as_uid(text)) == as_uid(text)
    assert "/" not in as_uid("../../etc/passwd") and as_uid("P01_11_143") == "P01_11_143"


def line(**changes) -> str:
    return json.dumps({**asdict(ENTRY), **changes})


LESS = {key: value for key, value in asdict(ENTRY).items() if key != "licence"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (line()[:40], "line 2: not JSON"),
        ("\xff\xfe", "line 2: not JSON"),
        ("[1, 2]", "line 2: not an object"),
        (line(colour="red"), "line 2: unknown key 'colour'"),
        (json.dumps(LESS), "line 2: 'licence' is missing"),
        (line(licence=""), "line 2: licence is ''"),
        (line(narration=None), "line 2: narration is None"),
        (line(start_s="1"), "line 2: start_s is '1'"),
        (line(start_s=True), "line 2: start_s is True"),
        (line(stop_s=float("nan")), "line 2: stop_s is nan"),
        (line(stop_s=10**400), "line 2: "),
        (line(stop_s=1.0), "line 2: window 1 to 1 s is none"),
        (line(start_s=-0.1), "line 2: window -0.1 to 2.5 s is none"),
        (line(uid="a/b"), "line 2: uid 'a/b' is not fit for a file name"),
        (line(uid=".."), "line 2: uid '..' is not fit"),
        (line(video="a\0b"), r"line 2: video 'a\x00b' is no name of a file"),
        (line(video="a\ud800"), r"line 2: video 'a\ud800' holds half a character"),
        (line(narration="\udfff"), r"line 2: narration '\udfff' holds half a character"),
        (line(extra=[]), "line 2: extra is"),
        (line(), "line 2: uid 'P01_1' again, first on line 1"),
    ],
)
def test_a_line_that_is_no_entry_is_refused_by_file_and_number(tmp_path, text, words):
    file = tmp_path / "m.jsonl"
    file.write_bytes(f"{line()}\n{text}\n".encode("latin-1"))
    with pytest.raises(UserError) as caught:
        read_manifest(file)
    assert str(caught.value).startswith(f"manifest {file}, {words}")


def test_a_manifest_that_is_missing_or_empty_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist; `mpr find` writes one"):
        read_manifest(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(UserError, match="names no action"):
        read_manifest(tmp_path / "m.jsonl")


def test_two_of_one_uid_are_not_written_and_the_old_manifest_stays(tmp_path):
    write_manifest(tmp_path / "m.jsonl", [ENTRY])
    with pytest.raises(UserError, match="uid 'P01_1' twice"):
        write_manifest(tmp_path / "m.jsonl", [replace(ENTRY, uid="other"), ENTRY, ENTRY])
    assert read_manifest(tmp_path / "m.jsonl") == [ENTRY]
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]
