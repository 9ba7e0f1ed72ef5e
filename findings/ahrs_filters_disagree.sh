#!/usr/bin/env bash
# ahrs: the filters of one package, called alike on the same readings, give q, its inverse, no heading, or two thirds of it.
#
# Package:  ahrs 0.4.0 (numpy 2.4.6)
# Source:   ahrs' documentation: estimators take gyr=, acc=, frequency= and keep the orientations in Q, so that one is exchanged for
#           another; in AQUA's theory, past the equations of the magnetometer, the remark that its paper uses the inverse orientation;
#           in Complementary's, that angles are also predicted from the gyroscope, the third one included.
# Guess:    they differ in noise and settling time. For readings without noise or bias they agree: the sensor's orientation.
# Seen:     a sensor lies still, level, and turns by 60 degrees about one axis. Madgwick, Mahony, EKF and AngularRate say 60
#           about each axis. AQUA says -60: its Q is the earth seen from the sensor, the inverse of the others'. Complementary never
#           takes the heading from the gyroscope without a magnetometer: 0 about the vertical, in any time. UKF turns by
#           40 about the vertical and stays there. Roll and pitch of the last two are right, which hides it.
# Output:   about x, y, vertical: Madgwick, Mahony, EKF, AngularRate 60 60 60 (to 0.6); AQUA -60 -60 -60; Complementary 60 60 0;
#           UKF 60 60 40
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q ahrs==0.4.0 numpy==2.4.6
env/bin/python - <<'PY'
import ahrs
import numpy as np

RATE_HZ, COUNT, TURN = 100.0, 600, np.pi / 3


def readings(axis):
    """One second still and level, one second of turning about one of the sensor's axes, four seconds still."""
    angle = np.clip((np.arange(COUNT) - 100) / 100, 0, 1) * TURN
    gyr = np.zeros((COUNT, 3))
    gyr[101:201, axis] = TURN  # rad/s
    none, sin, cos = np.zeros(COUNT), np.sin(angle), np.cos(angle)
    up = {0: [none, sin, cos], 1: [-sin, none, cos], 2: [none, none, none + 1]}[axis]
    return gyr, 9.81 * np.stack(up, axis=1)  # an accelerometer at rest shows what holds it up


def turned(name, axis):
    """Degrees by which the last orientation is turned about the axis."""
    gyr, acc = readings(axis)
    inputs = {"gyr": gyr} if name == "AngularRate" else {"gyr": gyr, "acc": acc}
    first, last = (q / np.linalg.norm(q) for q in np.asarray(getattr(ahrs.filters, name)(frequency=RATE_HZ, **inputs).Q)[[0, -1]])
    assert abs(first[0]) > 0.999, "level is not the identity"
    assert np.linalg.norm(np.delete(last[1:], axis)) < 0.01, "turned about another axis as well"
    return float(np.degrees(2 * np.arctan2(last[1 + axis], last[0])))


expected = {
    "Madgwick": (60, 60, 60),
    "Mahony": (60, 60, 60),
    "EKF": (60, 60, 60),
    "AngularRate": (60, 60, 60),
    "AQUA": (-60, -60, -60),
    "Complementary": (60, 60, 0),
    "UKF": (60, 60, 40),
}
for name, angles in expected.items():
    found = [turned(name, axis) for axis in range(3)]
    print(f"{name:14}", *(f"{angle:6.1f}" for angle in found))
    assert np.abs(np.subtract(found, angles)).max() < 1.5, f"{name} turns otherwise now"
PY
