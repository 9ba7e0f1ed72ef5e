"""The words of a narration, so that "open microwave" finds "#C C opens the microwave door".

English inflection by a few hand-written rules, a handful of synonyms, Ego4D's tags taken off; no language model
(`embed.py` is one).
"""

from __future__ import annotations

import re
from functools import lru_cache

# Ego4D says who acts: "#C C opens" (the camera wearer), "#O A man X opens" (another), "#summary"; "#unsure" is an
# object the narrator could not name. Spellings vary: "#c C", "#cC c", "# C C", "#c- C".
TAG = re.compile(r"#\s*(unsure|summary|c+|[a-z])(?!\w)", re.IGNORECASE)
WEARER = re.compile(r"^\W*c(?=\s|$)", re.IGNORECASE)
R3M_WEARER = re.compile(r"^\s*C(?=\s)")  # R3M's labels keep the letter and drop the tag
WORD = re.compile(r"[^\W_]+")
VOWEL = re.compile(r"[aeiouy]")
ARTICLES = "a an the this that these those his her its my your our their of some s"
STOP = frozenset(ARTICLES.split())
SAME = {"cabinet": "cupboard", "refrigerator": "fridge", "faucet": "tap", "stove": "hob", "cooktop": "hob"}
IRREGULAR = {
    form: verb
    for verb, forms in {
        "break": "broke broken",
        "cut": "cutting",
        "draw": "drew drawn",
        "give": "gave given",
        "grind": "ground",
        "hang": "hung",
        "hold": "held",
        "knife": "knives",
        "leaf": "leaves",
        "loaf": "loaves",
        "shake": "shook shaken",
        "shelf": "shelves",
        "slide": "slid",
        "spread": "spreading",
        "sweep": "swept",
        "take": "took taken",
        "tear": "tore torn",
        "throw": "threw thrown",
        "tie": "tying",
        "wind": "wound",
    }.items()
    for form in forms.split()
}


def clean(narration: str) -> str:
    """The narration without Ego4D's tags and the wearer's letter: "#C C opens the door" is "opens the door"."""
    bare = TAG.sub(" ", narration)
    bare = (WEARER if bare != narration else R3M_WEARER).sub("", bare)
    return " ".join(bare.split())


def actor(narration: str) -> str:
    """Whom Ego4D's first tag names: "wearer", "other", "summary" (of what went on), or "" where it names nobody."""
    for tag in TAG.findall(narration.lower()):
        if not tag.strip("c"):
            return "wearer"
        if tag in ("o", "summary"):
            return "other" if tag == "o" else tag
    return ""


@lru_cache(100_000)
def lemmas(word: str) -> frozenset[str]:
    """The word and what it may be a form of: "putting" is putting, putt, putte or put.

    Two words are taken for the same where they share one.
    """
    found = {word, IRREGULAR.get(word, word)}
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and VOWEL.search(stem) and not word.endswith("eed"):
            found |= {stem, stem + "e"}
            if len(stem) > 2 and stem[-1] == stem[-2]:
                found.add(stem[:-1])
            if stem.endswith("i"):
                found.add(stem[:-1] + "y")
    if len(word) > 2 and word.endswith("s") and not word.endswith("ss"):
        found.add(word[:-1])
        if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
            found.add(word[:-2])
        if word.endswith("ies"):
            found.add(word[:-3] + "y")
    return frozenset(found | {SAME[lemma] for lemma in found & SAME.keys()})


@lru_cache(1_000)
def asked(text: str) -> tuple[str, ...]:
    """The words a query asks for: articles and the like only where there is nothing else."""
    words = WORD.findall(clean(text).casefold())
    return tuple(dict.fromkeys([w for w in words if w not in STOP] or words))


@lru_cache(10_000)
def forms(text: str) -> frozenset[str]:
    """The lemmas of all of a text's words."""
    return frozenset().union(*(lemmas(w) for w in WORD.findall(text.casefold())))


def says(pool: frozenset[str], words: tuple[str, ...]) -> bool:
    """Whether every word, in some form and any order, is among the `forms` of a text."""
    return all(not lemmas(word).isdisjoint(pool) for word in words)
