#!/usr/bin/env bash
# OpenCV: seeking a video to a time goes by the mean frame rate, not by the frames' times; where frames are uneven it misses.
#
# Package:  opencv-python-headless 4.14.0.94 (its own FFmpeg), the clip made with av 18.1.0 (numpy 2.4.6)
# Source:   OpenCV's VideoCaptureProperties: CAP_PROP_POS_MSEC is the position in milliseconds; modules/videoio/src/
#           cap_ffmpeg_impl.hpp, CvCapture_FFMPEG::seek(double): seconds are multiplied by the mean rate to a frame number;
#           opencv/opencv, the reports on CAP_PROP_POS_MSEC and CAP_PROP_POS_FRAMES with variable rates.
# Guess:    set(CAP_PROP_POS_MSEC, t) finds the frame shown at t, as get(CAP_PROP_POS_MSEC) reads true times; the risky seek is
#           the one by frame number.
# Seen:     the other way round. In a clip with one gap of half a second (a camera that stalled, a phone that saves frames) the
#           seek by number is right for every frame, and each frame's time is read right; the seek by time misses by up to
#           6 frames, 0.2 s, on both sides of the gap. A clip cut by annotated times begins at another moment, without a word.
# Output:   mean rate 24.19; by number: 0 of 60 wrong; by time: 55 of 60 wrong, off by -6 to 6 frames
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q av==18.1.0 opencv-python-headless==4.14.0.94 numpy==2.4.6
env/bin/python - <<'PY'
from fractions import Fraction

import av
import cv2
import numpy as np

# 60 frames 33 ms apart, but for 533 ms between the 30th and the 31st; each has its number as its grey level, times 4
stamps = [33 * n + (500 if n >= 30 else 0) for n in range(60)]
with av.open("clip.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=30)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, 1000)
    for n, stamp in enumerate(stamps):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * n, np.uint8))
        frame.pts, frame.time_base = stamp, Fraction(1, 1000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode())

video = cv2.VideoCapture("clip.mp4", cv2.CAP_FFMPEG)


def seek(what, value):
    assert video.set(what, value)
    found, picture = video.read()
    assert found
    return round(float(picture.mean()) / 4)


times = []
while video.read()[0]:
    times.append(round(video.get(cv2.CAP_PROP_POS_MSEC)))
assert times == stamps, "the times of the frames are not read right"
by_number = [seek(cv2.CAP_PROP_POS_FRAMES, n) - n for n in range(60)]
by_time = [seek(cv2.CAP_PROP_POS_MSEC, stamp + 5) - n for n, stamp in enumerate(stamps)]  # 5 ms after it came up
print("mean rate", round(video.get(cv2.CAP_PROP_FPS), 2))
print("by number:", sum(x != 0 for x in by_number), "of 60 wrong")
print("by time:", sum(x != 0 for x in by_time), "of 60 wrong, off by", min(by_time), "to", max(by_time), "frames:", by_time)
assert not any(by_number)
assert sum(x != 0 for x in by_time) > 40 and max(map(abs, by_time)) >= 5, "seeking goes by the frames' times now"
PY
