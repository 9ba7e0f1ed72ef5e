#!/usr/bin/env bash
# The same AprilTag, seen by AprilTag's detector and by OpenCV's: other corners first, other axes, half a percent further away.
#
# Package:  pupil-apriltags 1.0.4.post11 (the AprilTag 3 library) and opencv-python-headless 4.14.0.94 (numpy 2.4.6)
# Source:   README of AprilRobotics/apriltag, "Coordinate System": x right, y down, z into the tag;
#           OpenCV's ArUco tutorial: z out of the marker, corners clockwise from its top left; DICT_APRILTAG_36h11 is the family;
#           opencv/opencv-python, the report "Inconsistent orientation of detected/generated ArUco and AprilTags".
# Guess:    one family, one id, hence one pose: at most the z axis points the other way (a half turn about x), and a hand-eye
#           calibration made with one detector serves the other after that turn.
# Seen:     on a picture of OpenCV's upright tag 7, both find id 7 without a bit error. AprilTag's axes are a half turn about *y*
#           away from OpenCV's, not about x: OpenCV's upright tag stands on its head for AprilTag. AprilTag goes counterclockwise
#           from what it calls bottom left, which is top right here. And pixel centres: AprilTag counts them at .5, so that the
#           outline is 200 pixels wide, OpenCV's corners are the outermost black pixels, 199 apart: distances differ by 0.5 %.
# Output:   AprilTag: first corners top right, top left; rotation diag(-1, -1, 1); z 0.3000
#           OpenCV:   first corners top left, top right; rotation diag(1, -1, -1); z 0.3015; together: diag(-1, 1, -1)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q pupil-apriltags==1.0.4.post11 opencv-python-headless==4.14.0.94 numpy==2.4.6
env/bin/python - <<'PY'
import cv2
import numpy as np
from pupil_apriltags import Detector

family = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
picture = np.full((480, 640), 255, np.uint8)
picture[140:340, 220:420] = cv2.aruco.generateImageMarker(family, 7, 200)  # 200 pixels, upright, facing the camera
middle = np.array([320, 240])


def place(corner):
    return ("top" if corner[1] < middle[1] else "bottom") + (" left" if corner[0] < middle[0] else " right")


(tag,) = Detector(families="tag36h11").detect(picture, estimate_tag_pose=True, camera_params=(600, 600, 320, 240), tag_size=0.1)
order = [place(c) for c in tag.corners]
print("AprilTag:", tag.tag_id, tag.hamming, order, tag.pose_R.round(2).tolist(), "z", round(float(tag.pose_t[2, 0]), 4))

(corners,), ids, _ = cv2.aruco.ArucoDetector(family).detectMarkers(picture)
square = np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) * 0.05
camera = np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1.0]])
_, turn, shift = cv2.solvePnP(square, corners[0].astype(float), camera, None, flags=cv2.SOLVEPNP_IPPE_SQUARE)
rotation = cv2.Rodrigues(turn)[0]
print("OpenCV:  ", ids.ravel().tolist(), [place(c) for c in corners[0]], rotation.round(2).tolist(), "z", round(float(shift[2, 0]), 4))

between = tag.pose_R.T @ rotation
print("from one to the other:", between.round(2).tolist())
assert tag.tag_id == 7 and tag.hamming == 0 and ids.ravel().tolist() == [7]
assert order == ["top right", "top left", "bottom left", "bottom right"]
assert [place(c) for c in corners[0]] == ["top left", "top right", "bottom right", "bottom left"]
assert np.abs(between - np.diag([-1, 1, -1])).max() < 0.02, "another turn between the two frames"
assert abs(np.ptp(tag.corners[:, 0]) - 200) < 0.2 and abs(np.ptp(corners[0][:, 0]) - 199) < 0.2
assert 1.003 < float(shift[2, 0] / tag.pose_t[2, 0]) < 1.007
PY
