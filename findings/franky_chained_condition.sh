#!/usr/bin/env bash
# franky: a force window written as Python writes it, or joined with `and`, keeps one of its two sides.
#
# Package:  franky-control 2.0.0
# Source:   franky's guide to reactions: Measure.FORCE_Z < -5.0 makes a condition, conditions are joined by & and |.
# Guess:    -5.0 < Measure.FORCE_Z < 5.0 is the window, or an error, as with numpy's arrays, Polars' expressions and SymPy's
#           relations, which refuse to be true or false; so is (Measure.FORCE_Z > -5.0) and (Measure.FORCE_Z < 5.0).
# Seen:     a condition is simply true, so Python returns the right-hand one: F_z < 5 alone. `or` keeps the
#           left-hand one alone: an arm that shall stop when it is pushed either way stops one way only. `not condition` is False.
#           Nothing is said: the motion runs.
# Output:   chained: F_z < 5; and: F_z < 5; or: F_z > 5 of "F_z > 5 or F_z < -5"; not: False; &: (F_z > -5) && (F_z < 5)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q franky-control==2.0.0
env/bin/python - <<'PY'
from franky import Measure

force = Measure.FORCE_Z
found = {
    "chained": -5.0 < force < 5.0,
    "and": (force > -5.0) and (force < 5.0),
    "or": (force > 5.0) or (force < -5.0),
    "not": not (force > 5.0),
    "&": (force > -5.0) & (force < 5.0),
    "|": (force > 5.0) | (force < -5.0),
}
for name, condition in found.items():
    print(f"{name:8}", condition)
assert "&&" in str(found["&"]) and "||" in str(found["|"])
for name, left_out in (("chained", "-5"), ("and", "-5"), ("or", "-5")):
    assert left_out not in str(found[name]), "both sides are kept now"
assert found["not"] is False
PY
