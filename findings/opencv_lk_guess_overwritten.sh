#!/usr/bin/env bash
# OpenCV: Lucas-Kanade writes its answer into the array of guesses; a round trip started at the points themselves is always perfect.
#
# Package:  opencv-python-headless 4.14.0.94 (numpy 2.4.6)
# Source:   OpenCV, calcOpticalFlowPyrLK: nextPts is the output, and with OPTFLOW_USE_INITIAL_FLOW the guess as well; the forward-backward
#           test of trackers (Kalal et al. 2010), which starts the way back at the points that were asked for.
# Guess:    Python calls return new arrays; moved, found, error = calcOpticalFlowPyrLK(a, b, points, guess, ...) leaves `guess`
#           as it was.
# Seen:     a float32 guess is overwritten in place and returned as `moved`: one array with two names. In the test for
#           lost points the guess is `points`, so "where it came back" minus "where it started" is 0.0 for every point, those on a
#           part of the picture that was replaced too, and none is dropped. It happens without the flag too. points.copy() is right.
# Output:   of 50 points on a replaced half of the picture pass: 50 with points, 1 with points.copy(); round trip at most
#           0.0 px and 50.3 px
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q opencv-python-headless==4.14.0.94 numpy==2.4.6
env/bin/python - <<'PY'
import cv2
import numpy as np

rng = np.random.default_rng(0)


def texture():
    noise = cv2.GaussianBlur(rng.normal(size=(200, 300)), (0, 0), 2)
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


before = texture()
after = before.copy()
after[:, 150:] = texture()[:, 150:]  # the right half is something else: nothing there can be followed
grid = np.stack(np.meshgrid(np.linspace(175, 275, 10), np.linspace(40, 160, 5)), -1).reshape(-1, 2).astype(np.float32)


def round_trip(guess):
    points = grid.copy()
    there, _, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None)
    start = guess(points)
    back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, there, start, flags=cv2.OPTFLOW_USE_INITIAL_FLOW)
    return np.linalg.norm(back - points, axis=1), np.shares_memory(back, start)


shared, same = round_trip(lambda points: points)
copied, _ = round_trip(lambda points: points.copy())
for name, error in (("points", shared), ("points.copy()", copied)):
    print(f"{name:14} round trip at most {error.max():.1f} px, pass: {(error < 1).sum()} of {len(error)}")
assert (copied < 1).sum() < 10  # the test works
assert same and shared.max() == 0, "the guess is left alone now"
PY
