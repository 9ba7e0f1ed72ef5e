#!/usr/bin/env bash
# imageio: a clip with uneven frame times has three numberings at once: counted, iterated and fetched by index.
#
# Package:  imageio 2.38.1 with imageio-ffmpeg 0.8.1 (its own FFmpeg 9.0.2); the clip made with av 18.1.0 (numpy 2.4.6)
# Source:   imageio's guide, get_reader: "for im in reader", reader.count_frames(), reader.get_data(n); imageio/plugins/ffmpeg.py
#           (get_data seeks to n / fps seconds); imageio_ffmpeg.read_frames, a pipe of raw pictures, which FFmpeg fills at a constant rate;
#           imageio/imageio, the report "Support for Variable Frame Rate", closed with: nothing else is needed to read such a file.
# Guess:    iterating gives each frame of the file once, as OpenCV and PyAV do; frame n of the loop is get_data(n), and there are
#           count_frames() of them. Only the times are missing.
# Seen:     a clip of 40 frames at 30 Hz with a stall of one second in the middle counts 40, and a loop over it gives 70: the frame before
#           the stall 31 times. Labels and robot states kept by frame number belong to other pictures from there on. get_data(n) goes
#           by the *mean* rate, so that it is wrong before the stall too: get_data(10) is frame 18. With plugin="pyav" all is well.
# Output:   counted 40, iterated 70 (frame 19 31 times), get_data(10), (25), (39): frames 18, 19, 19; pyav iterated 40
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6
env/bin/python - <<'PY'
from fractions import Fraction

import av
import imageio
import imageio.v3 as iio
import numpy as np

# 40 frames 33 ms apart, but a second more between the 20th and the 21st; each has its number as its grey level
TICK = Fraction(1, 3000)
stamps = [100 * n + (3000 if n >= 20 else 0) for n in range(40)]
with av.open("clip.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=30, options={"bf": "0", "crf": "1"})
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = TICK
    for n, stamp in enumerate(stamps):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 + 5 * n, np.uint8)).reformat(format="yuv420p")
        frame.pts, frame.time_base = stamp, TICK
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def number(picture):
    return round((float(picture[..., 0].mean()) - 10) / 5)


with av.open("clip.mp4") as file:
    assert [round(frame.time * 3000) for frame in file.decode(video=0)] == stamps, "the clip is not what it should be"

reader = imageio.get_reader("clip.mp4", "ffmpeg")
counted = reader.count_frames()
iterated = [number(picture) for picture in reader]
fetched = {n: number(reader.get_data(n)) for n in (10, 25, 39)}
by_pyav = [number(picture) for picture in iio.imiter("clip.mp4", plugin="pyav")]
print("counted", counted, "iterated", len(iterated), "of which frame 19:", iterated.count(19), "times; pyav iterated", len(by_pyav))
print("frame that get_data gives:", fetched, "at a mean rate of", reader.get_meta_data()["fps"])
assert counted == 40 and by_pyav == list(range(40))
assert len(iterated) > 65 and iterated.count(19) > 25, "each frame comes once now"
assert all(abs(found - n) > 5 for n, found in fetched.items()), "get_data goes by number now"
PY
