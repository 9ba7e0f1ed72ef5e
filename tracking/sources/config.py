"""What `mpr find` is asked for: sources, words, and how what is found is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.core.config import Range, check_ranges
from mpr.core.errors import UserError
from tracking.sources.registry import SOURCES


@dataclass(frozen=True)
class FindConfig:
    """Find actions by verb, noun and narration in data sets and folders of videos, and list them to be tracked."""

    out: Path = Path("runs/find")  # run folder
    ego4d: Path | None = None  # an Ego4D annotation file: narration.json, fho_main.json, fho_lta_train.json
    epic: Path | None = None  # an EPIC-KITCHENS-100 table, EPIC_100_train.csv, or EPIC-KITCHENS-55's action labels
    folder: Path | None = None  # a folder of videos, with a CSV or JSON table of what is done in them
    lerobot: Path | None = None  # a LeRobot data set, v2 or v3
    clips: Path | None = None  # a folder of clip folders, of `mpr synth`
    source: tuple[str, ...] | None = None  # another package's, as NAME=PATH
    videos: Path | None = None  # where the videos of --ego4d or --epic lie, if not beside the annotations
    table: Path | None = None  # the table of --folder, if it does not hold just one
    camera: str = ""  # video feature of --lerobot, if it has several
    query: str = ""  # words of narration, verb and noun, in any order and form: "open microwave"; empty: any
    verb: str = ""  # words of the verb
    noun: str = ""  # words of the noun
    embed: Path | None = None  # folder of a sentence model: also find narrations that mean about the same as --query
    similar: float = 0.7  # cosine from which on a narration means the same (--embed)
    max_seconds: float = 30.0  # longer actions are counted, and kept whole: tracking cuts them
    sheet: int = 24  # images in the contact sheet; 0: none
    check: bool = False  # also tell whether what is found meets R3M's data needs

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("mpr find: give a source: --ego4d, --epic, --folder, --lerobot or --clips")
        for name in self.sources:
            SOURCES.check(name)
        if self.videos is not None and not self.sources.keys() - {"folder", "lerobot", "clips"}:
            raise UserError("mpr find: --videos goes with --ego4d or --epic")
        if self.embed is not None and not self.query:
            raise UserError("mpr find: --embed needs a --query to compare narrations with")
        check_ranges(self, {"similar": Range(-1, 1), "max_seconds": Range(0, above=True), "sheet": Range(0)})

    @property
    def sources(self) -> dict[str, Path]:
        """The sources given, by name. Raises UserError for a --source that is no NAME=PATH."""
        paths = {name: getattr(self, name) for name in SOURCES.ours}
        given = {name: path for name, path in paths.items() if path is not None}
        for one in self.source or ():
            name, _, path = one.partition("=")
            if not name or not path or name in SOURCES.ours or name in given:
                raise UserError(f"mpr find: --source {one}: NAME=PATH, of another package's source, each once")
            given[name] = Path(path)
        return given
