"""What the items of a list are that stands in one word: `front,wrist`, `[front, wrist]`, `"a, b", c`.

Commas separate items; a comma inside brackets or quotes does not, nor does a space. Brackets around all of it, and
quotes around an item, are taken off. A comma may stand before the first item or after the last, as `front,` does where
`front, wrist` was typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

PAIRS = {"[": "]", "(": ")", "{": "}"}
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"' + "|'(?:[^']|'')*'", re.DOTALL)


def split_items(word: str, of_lists: bool = False, known: Callable[[str], bool] = lambda _: False) -> list[str]:
    """The items of one word, as "a,b" or "[a, b]".

    Where items are lists themselves (`of_lists`), [1, 2] is one, and [[1, 2]] holds it. What is `known`, as the name of
    an existing file is, is one item as it stands. Raises ValueError for brackets that are not closed and for an item
    that is nothing.
    """
    if known(word):
        return [word]
    items, whole = _at_commas(word.strip(), known)
    if whole:
        inside, _ = _at_commas(items[0][1:-1], known)
        if not of_lists or all(item[:1] in PAIRS for item in inside if item):
            items = inside
            if items == [""]:
                return []
    if len(items) > 1:  # what a comma too many leaves
        items = items[1:] if not items[0] else items
        items = items[:-1] if not items[-1] else items
    bare = [item if known(item) else _unquoted(item) for item in items]
    if not all(bare):
        raise ValueError("an item is empty ([]: none)")
    return bare


def _at_commas(text: str, known: Callable[[str], bool]) -> tuple[list[str], bool]:
    """What stands between the outer commas, and whether one pair of brackets, no braces, surrounds the text."""
    cuts, closing, first_closed, at = [-1], [], None, 0
    while at < len(text):
        here = text[at]
        if here in "\"'" and not text[at - 1 : at].isalnum() and (quoted := QUOTED.match(text, at)):  # not in bob's
            at = quoted.end()
            continue
        if here in PAIRS:
            closing.append(PAIRS[here])
        elif here in PAIRS.values():
            if not closing or closing.pop() != here:
                raise ValueError(f"{here} closes nothing; put quotes around the item")
            if not closing and first_closed is None:
                first_closed = at
        elif here == "," and not closing:
            cuts.append(at)
        at += 1
    if closing:
        raise ValueError(f"{closing[-1]} is missing; put the list into quotes, or leave its brackets out")
    cuts, parts, k = [*cuts, len(text)], [], 0
    while k + 1 < len(cuts):  # up to the next comma, or to the last one that ends what is known
        ends = range(len(cuts) - 1, k + 1, -1)
        end = next((e for e in ends if known(text[cuts[k] + 1 : cuts[e]].strip())), k + 1)
        parts.append(text[cuts[k] + 1 : cuts[end]].strip())
        k = end
    return parts, text[:1] in ("[", "(") and first_closed == len(text) - 1


def _unquoted(item: str) -> str:
    """As YAML takes quotes off."""
    if not QUOTED.fullmatch(item):
        return item
    if item[0] == "'":
        return item[1:-1].replace("''", "'")
    try:
        return json.loads(item)
    except ValueError:  # backslashes that escape nothing
        return item[1:-1]
