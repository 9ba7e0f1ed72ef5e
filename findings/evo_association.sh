#!/usr/bin/env bash
# evo pairs one pose with several: two perfect trajectories get a relative error when their rates differ the wrong way round.
#
# Package:  evo 1.38.1 (numpy 2.4.6)
# Source:   evo/core/sync.py, associate_trajectories (the shorter trajectory leads, each of its poses takes the nearest of the
#           other); the TUM RGB-D benchmark's associate.py, where a stamp that is taken is taken once.
# Guess:    association is one to one; where a reference of 10 Hz meets an estimate of 30 Hz a third of the estimate is used.
# Seen:     "shorter" is by number of poses, not by rate. An estimate of one second at 30 Hz beside four seconds of reference at
#           10 Hz is the shorter one, leads, and each reference pose is given to up to three estimates in a row. RPE from frame to frame then
#           compares motion with standing still: an estimate that lies exactly on the reference's line has an error of 5 cm a frame
#           at 1 m/s. The estimate of all four seconds is the longer one: 10 Hz lead, error 0. sync_method=interpolation: 0 in both.
# Output:   one second: 30 pairs of 11 reference poses, RPE 0.0475 m; four seconds: 40 pairs, RPE 0.000 m; interpolated 0.000 m
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q evo==1.38.1 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
from evo.core import metrics, sync
from evo.core.trajectory import PoseTrajectory3D


def straight(times):
    """1 m/s along x, exactly."""
    return PoseTrajectory3D(
        positions_xyz=np.c_[times, 0 * times, 0 * times],
        orientations_quat_wxyz=np.tile([1.0, 0, 0, 0], (len(times), 1)),
        timestamps=times,
    )


reference = straight(np.arange(40) / 10)
found = {}
for name, count in (("one second", 30), ("four seconds", 120)):
    estimate = straight(np.arange(count) / 30)
    for method in (sync.SyncMethod.nearest_time, sync.SyncMethod.interpolation):
        first, second = sync.associate_trajectories(reference, estimate, sync_method=method, max_diff=0.051)
        error = metrics.RPE(metrics.PoseRelation.translation_part, delta=1, delta_unit=metrics.Unit.frames)
        error.process_data((first, second))
        found[name, method.name] = len(np.unique(first.timestamps)), first.num_poses, error.get_statistic(metrics.StatisticsType.rmse)
        print(name, method.name, "reference poses, pairs, RPE [m]:", *(round(float(x), 4) for x in found[name, method.name]))

different, pairs, error = found["one second", "nearest_time"]
assert pairs == 30 and different <= 11, "pairs are one to one now"
assert error > 0.03
assert all(e < 1e-9 for key, (_, _, e) in found.items() if key != ("one second", "nearest_time"))
PY
