#!/usr/bin/env bash
# RealSense: "inverse Brown-Conrady" is not inverse, and "modified Brown-Conrady" is undone on the way to pixels only.
#
# Package:  pyrealsense2 2.59.1.11053 beside opencv-python-headless 4.14.0.94 (numpy 2.4.6)
# Source:   librealsense, include/librealsense2/h/rs_types.h: the inverse model "undistorts image instead of distorting it";
#           src/ds/ds-private.cpp labels the colour cameras of the D400 series with it, the numbers to be used "for undistort";
#           include/librealsense2/rsutil.h and src/rs.cpp compute it.
# Guess:    (1) with the inverse model the five numbers map a picture's pixels to ideal ones, so OpenCV, whose five numbers map
#           the other way, must not be given them as they are; (2) project(deproject(pixel)) is the pixel, or an error is raised
#           where a model cannot be undone.
# Seen:     (1) rs2_project_point_to_pixel with the inverse model is OpenCV's projectPoints with the same numbers, to 0.01 pixels
#           (the tangential terms differ a little); taking "inverse" by its word is 13 pixels off.
#           (2) rs2_deproject_pixel_to_point with the modified model returns the ray of a camera without any distortion, and says
#           nothing: there and back is 6.4 pixels off at (1100, 600), 0 with the other two models.
# Output:   project: realsense inverse [1082.292 581.283], opencv [1082.301 581.288], were it inverse [1093.747 586.731]
#           there and back of (1100, 600): inverse 0.000, brown 0.000, modified 6.442 pixels
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q pyrealsense2==2.59.1.11053 opencv-python-headless==4.14.0.94 numpy==2.4.6
env/bin/python - <<'PY'
import cv2
import numpy as np
import pyrealsense2 as rs

NUMBERS = [-0.055, 0.066, 0.0005, 0.0003, -0.021]  # of a size that colour cameras of the D400 series have
CAMERA = np.array([[640, 0, 640], [0, 640, 360], [0, 0, 1.0]])


def intrinsics(model):
    it = rs.intrinsics()
    it.width, it.height, it.fx, it.fy, it.ppx, it.ppy = 1280, 720, 640, 640, 640, 360
    it.model, it.coeffs = model, NUMBERS
    return it


point = np.array([0.7, 0.35, 1.0])
realsense = np.array(rs.rs2_project_point_to_pixel(intrinsics(rs.distortion.inverse_brown_conrady), list(point)))
still = np.zeros(3)
opencv = cv2.projectPoints(point[None], still, still, CAMERA, np.array(NUMBERS))[0].ravel()
ideal = (CAMERA @ point)[:2]
inverse = cv2.undistortPointsIter(
    ideal[None, None], CAMERA, np.array(NUMBERS), None, CAMERA, (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
).ravel()  # the pixel which the polynomial carries to the ideal one
print("project: realsense inverse", realsense.round(3), "opencv", opencv.round(3), "were it inverse", inverse.round(3))
assert np.abs(realsense - opencv).max() < 0.1, "the inverse model is no longer OpenCV's"
assert np.abs(realsense - inverse).max() > 10

pixel = [1100.0, 600.0]
for name in ("inverse_brown_conrady", "brown_conrady", "modified_brown_conrady"):
    it = intrinsics(getattr(rs.distortion, name))
    ray = rs.rs2_deproject_pixel_to_point(it, pixel, 1.0)
    back = rs.rs2_project_point_to_pixel(it, ray)
    off = float(np.hypot(*(np.array(back) - pixel)))
    print(name, "there and back:", f"{off:.3f} pixels")
    if name == "modified_brown_conrady":
        assert np.allclose(ray, [(1100 - 640) / 640, (600 - 360) / 640, 1.0]), "deprojection knows the modified model now"
        assert off > 5
    else:
        assert off < 0.01
PY
