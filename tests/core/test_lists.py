"""A list is a list, for every option of every verb: one item or several, in whatever of the spellings."""

from __future__ import annotations

import dataclasses
import importlib
import json
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mpr import cli
from mpr.core import config as reading
from mpr.core.command_line import is_list, options, value_of
from mpr.core.config import as_dict, parse_config
from mpr.core.errors import UserError
from mpr.core.items import split_items
from rl.experiments.command import EXPERIMENTS
from tracking.clips.config import TrackConfig, settings_of

SPECIAL = ",[](){}\"'\\ =-:#~"


def config_of(target: str) -> Any:
    """The config class that a verb's main parses."""
    seen: list[Any] = []
    module, function = target.split(":")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(reading, "_print_help", lambda config_class, *_: seen.append(config_class))
        getattr(importlib.import_module(module), function)(["--help"])
    return seen[0]


TARGETS = {verb: target for verb, (target, _) in cli.CLI_VERBS.items() if verb != "experiment"}
TARGETS |= {f"experiment {name}": target for name, (target, _) in EXPERIMENTS.items()}
CONFIGS = {verb: config_of(target) for verb, target in TARGETS.items()}
LISTS = [(verb, key, hint) for verb, c in CONFIGS.items() for key, hint in options(c).items() if is_list(hint)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@cache
def bare(config_class: Any) -> Any:
    """A config without its checks: names that no verb knows are items too."""
    hints, made = get_type_hints(config_class), []
    for one in dataclasses.fields(config_class):
        inner = bare(hints[one.name]) if dataclasses.is_dataclass(hints[one.name]) else None
        default: Any = {"default": one.default, "default_factory": one.default_factory}
        kept = {name: value for name, value in default.items() if value is not dataclasses.MISSING}
        kept = {"default_factory": inner} if inner else kept
        made.append((one.name, inner or hints[one.name], dataclasses.field(**kept)))
    return dataclasses.make_dataclass(config_class.__name__, made, frozen=True)


def bare_list(hint: Any) -> Any:
    return next((kind for kind in get_args(hint) if kind is not NoneType), hint) if NoneType in get_args(hint) else hint


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(SPECIAL), min_size=1, max_size=12)
ITEMS = {
    int: st.integers(-(10**6), 10**6),
    float: st.floats(allow_nan=False),
    str: texts,
    Path: texts.filter(lambda text: text not in ("null", "Null", "NULL", "~")).map(Path),
}


def items_for(hint: Any) -> st.SearchStrategy[list[Any]]:
    kind = bare_list(hint)
    kinds = get_args(kind)
    if get_origin(kind) is tuple and kinds[-1] is not Ellipsis:
        return st.tuples(*(ITEMS[one] for one in kinds)).map(list)
    return st.lists(ITEMS[kinds[0]], min_size=1, max_size=4)


def quoted(item: str) -> str:
    """As it has to stand between commas."""
    plain = item == item.strip() and item[:2] != "--" and not set(item) & set(",[](){}\"'")
    return item if plain else json.dumps(item, ensure_ascii=False)


def value_at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def every_spelling(key: str, items: list[Any], folder: Path) -> list[list[str]]:
    words = [quoted(str(item)) for item in items]
    joined, spaced = ",".join(words), ", ".join(words)
    spelled = [[f"--{key}", *words], [f"--{key}={joined}"], [f"--{key}", f"[{spaced}]"], [f"--{key}", f"({joined},)"]]
    spelled += [[f"--{key}", word] for word in (joined, spaced, f" {spaced} ") if joined[:2] != "--"]
    spelled += [[f"--{key}", *(f"{word}," for word in words)]] if len(words) > 1 else []
    in_files = [[str(one) if isinstance(one, Path) else one for one in items], joined]
    for number, said in enumerate(in_files):
        for name in reversed(key.split(".")):
            said = {name: said}
        file = folder / f"{number}.yaml"
        file.write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")
        spelled.append(["--config", str(file)])
    return spelled


def test_every_verb_has_options_of_known_types_alone():
    assert {verb for verb, _, _ in LISTS} >= {"track", "evaluate", "bc", "robot run", "experiment reach", "bench video"}
    for verb, config_class in CONFIGS.items():
        for key, hint in options(config_class).items():
            try:
                value_of(f"mpr {verb}: {key}", "1", hint)
            except UserError:
                continue  # 1 is no value of it, but it is known how one is spelled


@pytest.mark.parametrize(("verb", "key", "hint"), LISTS, ids=[f"{verb} --{key}" for verb, key, _ in LISTS])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_each_spelling_means_the_same(verb, key, hint, files, data):
    items = data.draw(items_for(hint))
    for argv in every_spelling(key, items, files):
        config, _ = parse_config(bare(CONFIGS[verb]), argv, verb)
        assert list(value_at(config, key)) == items, argv


@pytest.mark.parametrize(("verb", "key", "hint"), LISTS, ids=[f"{verb} --{key}" for verb, key, _ in LISTS])
def test_what_is_no_list_is_refused_in_a_line_that_names_the_option(verb, key, hint):
    config_class, kinds = bare(CONFIGS[verb]), get_args(bare_list(hint))
    wrong = [[], ["[a, b"], ["a]"], ["a,,b"], [""], ["''"], ["[a)"], ["1", f"--{key}", "2"]]
    wrong += [["x"], ["1,x"], ["1,2.5.3"], ["1", "null"]] if kinds[0] in (int, float) else []
    wrong += [["2.5,1,1,1"], ["true"]] if kinds[0] is int else []
    wrong += [["1"] * (len(kinds) + 1), ["1"]] if get_origin(bare_list(hint)) is tuple and kinds[-1] is not ... else []
    for words in wrong:
        with pytest.raises(UserError, match=f"--{key}") as refused:
            parse_config(config_class, [f"--{key}", *words, "--out", "there"], verb)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("word", "items"),
    [
        ("runs/finetune", ["runs/finetune"]),
        ("motion tracker=lucas_kanade", ["motion tracker=lucas_kanade"]),
        ("front,wrist", ["front", "wrist"]),
        ("[front, wrist]", ["front", "wrist"]),
        ("front, ", ["front"]),
        ("[]", []),
        ("( )", []),
        ("[[a, b]]", ["[a, b]"]),
        ("f(a, b), c", ["f(a, b)", "c"]),
        ("(a),(b)", ["(a)", "(b)"]),
        ("'a, b', \"c, d\"", ["a, b", "c, d"]),
        ("motion widths='1, 2', none", ["motion widths='1, 2'", "none"]),
        ("motion widths=[1, 2], none", ["motion widths=[1, 2]", "none"]),
        ("'it''s', bob's, ann's", ["it's", "bob's", "ann's"]),
        (r'"a\"b", "C:\path"', ['a"b', r"C:\path"]),
    ],
)
def test_items_of_a_word(word, items):
    assert split_items(word) == items


def test_a_path_that_exists_is_one_item(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a,b", "[x]", "it's, so", "(1", "c, d", "'q'"]
    for name in names:
        Path(name).touch()
    paths = list(map(Path, names))
    evaluate = bare(CONFIGS["evaluate"])
    for name in names:
        for argv in (["--residuals", name], [f"--residuals={name}"]):
            assert parse_config(evaluate, argv, "p")[0].residuals == (Path(name),)
    assert parse_config(evaluate, ["--residuals", *names], "p")[0].residuals == tuple(paths)
    assert parse_config(evaluate, ["--residuals", "[runs/x, a,b,c, d]"], "p")[0].residuals == tuple(
        map(Path, ("runs/x", "a,b", "c, d"))
    )
    assert parse_config(evaluate, ["--residuals", "a,c"], "p")[0].residuals == (Path("a"), Path("c"))
    Path("front,wrist").touch()  # a camera is no path
    assert parse_config(bare(CONFIGS["bc"]), ["--cameras", "front,wrist"], "p")[0].cameras == ("front", "wrist")


@dataclasses.dataclass(frozen=True)
class Nested:
    """Lists of lists, and one that may be none."""

    boxes: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    names: list[str] | None = None
    count: int = 0


@pytest.mark.parametrize("words", [["[1,2]", "[3,4]"], ["[1, 2], [3, 4]"], ["[[1, 2], [3, 4]]"], ["(1,2),(3,4)"]])
def test_items_may_be_lists(words):
    assert parse_config(Nested, ["--boxes", *words], "p")[0].boxes == [(1, 2), (3, 4)]


def test_a_list_may_be_empty_or_none_and_is_given_once(tmp_path):
    assert parse_config(Nested, ["--names", "[]"], "p")[0].names == []
    assert parse_config(Nested, ["--names", "null"], "p")[0].names is None
    assert parse_config(Nested, ["--names", "a", "null"], "p")[0].names == ["a", "null"]
    assert (
        parse_config(Nested, ["--count", "1", "--count", "2"], "p")[0].count == 2
    )  # of a single value the later counts
    with pytest.raises(UserError, match="--names is given twice: give all its items at once"):
        parse_config(Nested, ["--names", "a", "--names", "b"], "p")
    file = tmp_path / "c.yaml"
    file.write_text("names: [a, b]\ncount: 010\n")
    assert parse_config(Nested, ["--config", str(file)], "p")[0] == Nested(names=["a", "b"], count=10)
    assert parse_config(Nested, ["--config", str(file), "--names", "c"], "p")[0].names == ["c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: {a: b}", "names"),
        ("boxes: [[1, 2], [3]]", "boxes takes 2 items, 1 given: 3"),
        ("boxes: null", "boxes null: a list is needed"),
        ("count: [1]", "count"),
        ("count: true", "count 'true': a whole number is needed"),
        ("names: [a, null]", "names null: a text is needed"),
        ("names: !include other.yaml", "!include"),
        ("count: 1\ncount: 2", "count stands there twice"),
        ("- count", "no mapping"),
        ("a: &a [*a]", "nested"),
    ],
)
def test_a_file_s_wrong_value_is_named(tmp_path, text, said):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml") as refused:
        parse_config(Nested, ["--config", str(file)], "p")
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["evaluate", "--residuals", "runs/a", "--residuals", "runs/b"], "--residuals is given twice"),
        (["bc", "--cameras", "--out", "x"], "--cameras needs items"),
        (["track", "--video", "v", "--box", "1,2,x,4"], "--box 'x': a whole number is needed"),
        (["track", "--video", "v", "--box", "1 2 3 4"], "--box takes 4 items, 1 given: 1 2 3 4"),
        (["find", "--query", "open", "microwave"], "--query takes one value, 'microwave' is one more"),
        (["experiment", "direction", "--rows", "[motion,", "black]"], "--rows '[motion,': ] is missing"),
        (["experiment", "practice", "--settings", "a='b"], "--settings: 'a='b"),
        (["quickstart", "--base", "lr='b"], "--base: 'lr='b"),
        (["robot", "check", "--limits.low", "0,0"], "--limits.low takes 3 items, 2 given: 0, 0"),
        (["robot", "check", "--limits.lows", "0"], "unknown key --limits.lows; known: limits.command_age"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(argv, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_words_of_the_object_are_kept_as_folders_from_before_they_were_a_list_hold_them():
    asked = ["--manifest", "m", "--masks", "owlv2+sam2+cutie"]
    for words, kept in (([], ""), (["--words", "drawer, chopping board"], "drawer, chopping board")):
        assert settings_of(parse_config(TrackConfig, [*asked, *words], "p")[0])["words"] == kept
    config = parse_config(TrackConfig, [*asked, "--words", "'salt, pepper'", "mill"], "p")[0]
    assert config.words == ("salt, pepper", "mill") and settings_of(config)["words"] == '"salt, pepper", mill'


def test_a_config_that_was_written_is_read_again(tmp_path):
    file = tmp_path / "c.yaml"
    for config_class in CONFIGS.values():
        try:
            config = config_class()
        except (TypeError, UserError):  # what it needs is not said
            continue
        file.write_text(yaml.safe_dump(as_dict(config)))
        config = config.resolved() if hasattr(config, "resolved") else config  # type: ignore[attr-defined]
        assert parse_config(config_class, ["--config", str(file)], "p")[0] == config
