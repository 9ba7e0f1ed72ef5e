"""Which actions a query means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpr.core.errors import UserError
from tracking.sources.action import VideoAction
from tracking.sources.query import Query
from tracking.sources.words import WORD, actor, clean, lemmas


def action(narration: str = "", verbs: tuple[str, ...] = (), nouns: tuple[str, ...] = ()) -> VideoAction:
    return VideoAction("d", "u", Path("v.mp4"), 0.0, 1.0, narration, verbs, nouns, "l", "g")


def finds(query: str, narration: str) -> bool:
    return Query(query).matches(action(clean(narration)))


@pytest.mark.parametrize(
    ("query", "narration"),
    [
        ("open microwave", "#C C opens the microwave door"),
        ("Open the Microwave!", "#c c  opened a microwave_door"),
        ("microwave open", "opening microwave"),
        ("opening", "open fridge"),
        ("put plates", "#C C puts down the plate"),
        ("putting", "put plate into cupboard"),
        ("close drawer", "#C C is closing both drawers"),
        ("wipe", "#C C wiped the counter"),
        ("carry box", "carries boxes"),
        ("wash glass", "washes glasses"),
        ("dry", "dried a dish"),
        ("take knife", "took the knives"),
        ("open cabinet", "open cupboard"),
        ("cupboards", "#C C opens the cabinet"),
        ("#C C opens the microwave door", "#C C opens the microwave door"),
        ("the", "#C C moves the #unsure"),
    ],
)
def test_a_query_finds(query, narration):
    assert finds(query, narration)


@pytest.mark.parametrize(
    ("query", "narration"),
    [
        ("open microwave", "#C C closes the microwave"),
        ("open microwave", "#C C opens the fridge"),
        ("pan", "mixes the pancake batter"),
        ("open", "takes the opener"),
        ("tap", "sticks the tape"),
        ("can", "picks the cane"),
        ("ring", "pulls the string"),
        ("see", "plants a seed"),
        ("glas", "glass"),
        ("c", "#C C opens the door"),
    ],
)
def test_a_query_does_not_find(query, narration):
    assert not finds(query, narration)


narrations = st.text(st.sampled_from("abcdefgCOopening #ß'_-S,é"), max_size=40) | st.text(max_size=30)


@settings(max_examples=300, deadline=None)
@given(narrations.filter(lambda text: WORD.search(clean(text))))
@example("open the drawer; pick up the cup")
def test_a_query_always_finds_its_own_text(text):
    assert finds(text, text)
    assert Query(text).matches(action(text))  # nobody took the tags off


HANDS = ["open", "close", "take", "put", "cut", "wipe", "carry", "wash", "pour", "dry", "stir", "tie", "mix", "grab"]
THINGS = ["microwave", "door", "cup", "glass", "box", "knife", "brush", "tomato", "cookie", "shelf", "battery"]


@given(st.lists(st.sampled_from(HANDS + THINGS), min_size=1, max_size=8), st.data())
def test_some_of_the_words_in_any_order_find_the_text_and_another_word_does_not(words, data):
    asked = data.draw(st.permutations(words)).copy()[: data.draw(st.integers(1, len(words)))]
    assert finds(" ".join(asked), "#C C " + " the ".join(words))
    stranger = data.draw(st.sampled_from(["zipper", "hammers", "kneading"]))
    assert not finds(" ".join([*asked, stranger]), " ".join(words))


FORMS = """
open opens opened opening, close closes closed closing, put puts putting, wipe wipes wiped wiping
carry carries carried carrying, wash washes washed washing, roll rolls rolled rolling, mix mixes mixed mixing
stir stirs stirred stirring, take takes took taken taking, hold holds held holding, tie ties tied tying
press presses pressed pressing, fry fries fried frying, knife knives, shelf shelves, cookie cookies, box boxes
"""


@pytest.mark.parametrize("forms", [forms.strip() for line in FORMS.strip().splitlines() for forms in line.split(",")])
def test_all_forms_of_a_word_find_each_other(forms):
    for one in forms.split():
        for other in forms.split():
            assert finds(one, f"x {other} y"), (one, other)


def test_a_word_has_few_lemmas_and_is_one_of_them():
    for word in ("putting", "glasses", "s", "ed", "ing", "es", "ss", "ies"):
        assert word in lemmas(word) and len(lemmas(word)) <= 5


@pytest.mark.parametrize(
    ("narration", "bare", "who"),
    [
        ("#C C opens the door", "opens the door", "wearer"),
        ("#c c opens", "opens", "wearer"),
        ("#cC c opens", "opens", "wearer"),
        ("# C C opens", "opens", "wearer"),
        ("#C- C opens", "opens", "wearer"),
        ("#C opens the can", "opens the can", "wearer"),
        ("#C C opens the #unsure with C's knife", "opens the with C's knife", "wearer"),
        ("#unsure #C C opens", "opens", "wearer"),
        ("#O A man X opens", "A man X opens", "other"),
        ("#O man hands C the pan #C", "man hands C the pan", "other"),
        ("#summary C cooked", "cooked", "summary"),
        ("C opens the drawer", "opens the drawer", ""),
        ("cuts the carrot", "cuts the carrot", ""),
        ("open fridge", "open fridge", ""),
    ],
)
def test_ego4ds_tags_are_taken_off_and_say_who_acts(narration, bare, who):
    assert clean(narration) == bare and actor(narration) == who


def test_verb_and_noun_are_looked_for_in_the_labels_where_there_are_some():
    cupboard = action("open it with the plate", ("open",), ("cupboard", "cabinet", "door"))
    assert Query(verb="opening", noun="door").matches(cupboard)
    assert Query("open cabinet").matches(cupboard)
    assert not Query(noun="plate").matches(cupboard)  # said, but not what is opened
    assert Query(noun="plate").matches(action("takes the plate"))
    assert not Query("open", noun="plate").matches(action("takes the plate"))
    assert Query().matches(cupboard)


def test_what_was_asked_for_labels_what_has_no_label():
    named = Query(verb="open", noun="microwave").labelled(action("opens the microwave door"))
    assert named.verbs == ("open",) and named.nouns == ("microwave",)
    kept = Query("open", noun="door").labelled(action("", ("open",), ("cupboard", "door")))
    assert kept.nouns == ("cupboard", "door") and Query("open").labelled(action("opens")).verbs == ()


@pytest.mark.parametrize("text", ["!", "#C C", " "])
def test_a_query_without_a_word_is_refused(text):
    for name in ("text", "verb", "noun"):
        with pytest.raises(UserError, match=f"no word in the {name}"):
            Query(**{name: text})
