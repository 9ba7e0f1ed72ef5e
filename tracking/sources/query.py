"""Which actions are meant: by verb, noun and narration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

from mpr.core.errors import UserError
from tracking.sources.action import VideoAction
from tracking.sources.words import asked, forms, says


@dataclass(frozen=True)
class Query:
    """All of what is given must hold; what is empty asks for nothing. Raises UserError where a text has no word.

    `text` is looked for in narration, verb and noun together, `verb` and `noun` in the data set's own labels (all names
    of an EPIC noun class: a cupboard is a cabinet and a door), or in the narration where it has no labels. A narration
    of several tasks ("open the drawer; pick up the cup") is meant where one of them is: "open cup" is none. A text of
    several asks for each of them.
    """

    text: str = ""
    verb: str = ""
    noun: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "verb", "noun"):
            if getattr(self, name) and not asked(getattr(self, name)):
                raise UserError(
                    f"no word in the {name} '{getattr(self, name)}' to look for; \"open microwave\" has two"
                )

    def matches(self, action: VideoAction) -> bool:
        """Whether the action is one of those meant."""
        several = [task for task in self.text.split("; ") if asked(task)]
        if len(several) > 1:
            return all(dataclasses.replace(self, text=task).matches(action) for task in several)
        if "; " not in action.narration:
            return self.labels_match(action) and self.text_matches(action)
        return any(self.matches(dataclasses.replace(action, narration=task)) for task in action.narration.split("; "))

    def labels_match(self, action: VideoAction) -> bool:
        """Whether verb and noun are those asked for."""
        said = forms(action.narration)
        verb, noun = (pool(names) if names else said for names in (action.verbs, action.nouns))
        return says(verb, asked(self.verb)) and says(noun, asked(self.noun))

    def text_matches(self, action: VideoAction) -> bool:
        """Whether narration, verb and noun have every word of the text."""
        return says(forms(action.narration) | pool(action.verbs) | pool(action.nouns), asked(self.text))

    def labelled(self, action: VideoAction) -> VideoAction:
        """The action with the verb and noun asked for, found in its narration, where its data set names none."""
        verbs, nouns = action.verbs or (self.verb,) * bool(self.verb), action.nouns or (self.noun,) * bool(self.noun)
        return dataclasses.replace(action, verbs=verbs, nouns=nouns)


@lru_cache(10_000)
def pool(names: tuple[str, ...]) -> frozenset[str]:
    """The forms of all the names' words."""
    return frozenset().union(*(forms(name) for name in names))
