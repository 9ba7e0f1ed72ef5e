#!/usr/bin/env bash
# tfrecord: arrays kept as raw bytes come back shorter where they end in zeros, in episodes of more than one step.
#
# Package:  tfrecord 1.14.6 (reads and writes TFRecords without TensorFlow; numpy 2.4.6)
# Source:   tfrecord/reader.py, process_feature: a bytes list of more than one item becomes np.array(value, dtype=bytes); numpy's fixed-length byte
#           strings, which drop trailing zero bytes; tf.train.Feature.bytes_list, which is any bytes.
# Guess:    a feature of kind "byte" is the bytes that were written, as in TensorFlow; pictures come back, so masks and depth do.
# Seen:     numpy strips the zeros at the end of each item. JPEG and PNG end in other bytes and are whole, which hides it; a mask without
#           object in its last rows, a depth frame that ends in "no reading", any small little-endian integer lose their ends. A mask of
#           4 x 4 with two empty rows comes back as 8 bytes, an empty one as none. A list of one item is whole: the first try works.
# Output:   three steps: bytes written 16 16 16, read 14 8 0; one step: 16, read 16; the file itself holds them all
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q tfrecord==1.14.6 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import tfrecord
from tfrecord.writer import TFRecordWriter

masks = np.zeros((3, 4, 4), np.uint8)
masks[0, :, :2] = masks[1, :2, :] = 255  # left half; upper half; empty
written = [mask.tobytes() for mask in masks]


def read_back(items):
    writer = TFRecordWriter("episode.tfrecord")
    writer.write({"mask": (items, "byte")})
    writer.close()
    with open("episode.tfrecord", "rb") as file:
        content = file.read()
    assert all(item in content for item in items), "the writer drops them"
    (episode,) = tfrecord.reader.tfrecord_loader("episode.tfrecord", None, {"mask": "byte"})
    read = episode["mask"]
    return [read] if isinstance(read, bytes) else list(read)


for items in (written, written[1:2]):
    read = read_back(items)
    print("bytes written:", *map(len, items), " read:", *map(len, read))
assert read == written[1:2]  # one step is whole
read = read_back(written)
assert len(read) == 3 and all(whole.startswith(part) for whole, part in zip(written, read))
assert [len(part) for part in read] == [14, 8, 0], "all bytes come back now"
PY
