"""Whether what was found meets R3M's data needs.

First person, 224 x 224 pixels, 5 to 30 frames a second, timed narrations of manipulation, consent and licence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracking.sources.action import FIRST_PERSON
from tracking.sources.manifest import Entry
from tracking.sources.video_info import VideoInfo
from tracking.sources.words import forms

# What hands do to things; a narration with none of these ("walks around", "looks at") shows no manipulation.
_VERBS = """
add adjust arrange attach break carry chop clean close connect cook cover crack crush cut dip drag drain draw drop dry
empty fill fix flip fold gather give grab grasp grate grind hammer hang hold insert iron knead lay lift lock loosen mix
move open pack paint peel pick place plug pour press pull push put raise release remove rinse rip roll rotate rub scoop
scrape screw scrub season separate set sew shake sharpen shut slice slide smooth spray spread sprinkle squeeze stack
stir strain stretch sweep switch take tear throw tie tighten tilt touch transfer turn twist uncover unfold unlock unplug
unscrew untie unwrap use wash wear weigh wind wipe wrap write
"""
HANDLING = frozenset(_VERBS.split())
_SMALLEST = 224  # pixels, either side
SLOWEST, FASTEST = 5.0, 30.0  # frames a second; a faster video is sampled down
NO = r"\b(no|not|non|never|without|n/a)\b|refus|withdr[ae]w|pending|declin|den(y|ied)|revok"
DENIED = re.compile(NO, re.IGNORECASE)
_WORDS = 50  # R3M leaves out longer narrations
_FRAMES = 5  # and clips of no more frames than these


@dataclass(frozen=True)
class Verdict:
    """How many of the actions meet one need."""

    need: str
    met: int
    unmet: int
    unknown: int
    enough: float  # share of actions that must meet it
    note: str = ""

    @property
    def word(self) -> str:
        """met, not met or unknown."""
        count = self.met + self.unmet + self.unknown
        if self.met >= self.enough * count:
            return "met"
        return "unknown" if self.met + self.unknown >= self.enough * count else "not met"


def first_person(entry: Entry, info: VideoInfo | None) -> bool | None:
    """As the data set or the table's column `perspective` says; a head or chest camera is one."""
    said = str(entry.extra.get("perspective") or "")
    if not said:
        return None
    named = FIRST_PERSON in said.lower() or bool(forms(said) & {"egocentric", "ego", "head", "chest"})
    return named and not DENIED.search(said)


def large_enough(entry: Entry, info: VideoInfo | None) -> bool | None:
    """By the video's header, or the annotations where it is not there."""
    return None if info is None or not info.width or not info.height else min(info.width, info.height) >= _SMALLEST


def fast_enough(entry: Entry, info: VideoInfo | None) -> bool | None:
    """At least 5 frames a second, and more than five frames in the window at 30 at the most."""
    if info is None or not info.rate_hz:
        return None
    return info.rate_hz >= SLOWEST - 0.01 and entry.seconds * min(info.rate_hz, FASTEST) > _FRAMES


def manipulation(entry: Entry, info: VideoInfo | None) -> bool:
    """The verb, or the narration where there is no verb, names something that hands do."""
    said = forms(entry.verb or entry.narration)
    return 0 < len(entry.narration.split()) < _WORDS and not HANDLING.isdisjoint(said)


def consent(entry: Entry, info: VideoInfo | None) -> bool:
    """Something is said of consent, other than that there is none, or none yet."""
    said = str(entry.extra.get("consent") or "").strip()
    return said.lower() not in ("", "none", "false", "0", "unknown", "?") and not DENIED.search(said)


def _licence(entry: Entry, info: VideoInfo | None) -> bool:
    """A licence is named."""
    return entry.licence.strip().lower() not in ("", "unknown", "none", "?")


Test = Callable[[Entry, VideoInfo | None], bool | None]
NEEDS: tuple[tuple[str, Test, float], ...] = (
    ("first person", first_person, 1.0),
    (f"at least {_SMALLEST} x {_SMALLEST} pixels", large_enough, 1.0),
    (f"{SLOWEST:g} to {FASTEST:g} frames a second, over {_FRAMES} of them", fast_enough, 0.9),
    ("timed narrations of manipulation", manipulation, 0.9),  # Ego4D's own walk and look about, too
    ("consent stated", consent, 1.0),
    ("licence stated", _licence, 1.0),
)


def check_videos(found: Sequence[tuple[Entry, VideoInfo | None]]) -> list[Verdict]:
    """A verdict for each need, over actions and what is known of their videos."""
    verdicts = []
    for need, test, enough in NEEDS:
        results = [test(entry, info) for entry, info in found]
        counts = (results.count(True), results.count(False), results.count(None))
        verdicts.append(Verdict(need, *counts, enough, _note(test, found)))
    return verdicts


def _note(test: Test, found: Sequence[tuple[Entry, VideoInfo | None]]) -> str:
    if test is fast_enough:
        faster = sum(info is not None and (info.rate_hz or 0) > FASTEST + 0.01 for _, info in found)
        return f"{faster} are faster, to be sampled down" if faster else ""
    if test is _licence or test is consent:
        said = {e.licence if test is _licence else str(e.extra.get("consent") or "not stated") for e, _ in found}
        return "; ".join(sorted(said)[:3]) + (" ..." if len(said) > 3 else "")
    return ""


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """A table to print."""
    lines = []
    for v in verdicts:
        rest = [f"{n} {what}" for n, what in ((v.unmet, "do not"), (v.unknown, "unknown")) if n]
        count = f"{v.met} of {v.met + v.unmet + v.unknown} actions" + (f" ({', '.join(rest)})" if rest else "")
        lines.append(f"  {v.word:<8} {v.need:<52} {count}" + (f"; {v.note}" if v.note else ""))
    return lines
