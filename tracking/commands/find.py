"""`mpr find`: from annotations to a manifest for `mpr track --manifest`, shown before anything heavy runs."""

from __future__ import annotations

from collections.abc import Sequence

from mpr.core.config import parse_config, print_plan
from tracking.sources.config import FindConfig
from tracking.sources.query import Query


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr find`. Raises UserError."""
    config, dry_run = parse_config(FindConfig, argv, prog="mpr find")
    query = Query(config.query, config.verb, config.noun)
    if dry_run:
        return print_plan(config, config.sources, {}, config.out)
    from tracking.sources.find import list_found

    list_found(config, query)
