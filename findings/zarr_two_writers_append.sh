#!/usr/bin/env bash
# zarr: two handles of one array, appended to in turn: the second append cuts off what the first one wrote.
#
# Package:  zarr 3.1.6, formats 2 and 3 (numpy 2.4.6)
# Source:   zarr/core/array.py, append and resize; zarr-developers/zarr-python, the report "parallel append broken with
#           ProcessSynchronizer"; diffusion_policy's ReplayBuffer, which grows such arrays episode by episode.
# Guess:    append goes to the end of the array as it stands on disk. Two writers at the same moment are a race, but one after the
#           other, each finished before the next begins, are safe; at worst there is an error.
# Seen:     a handle keeps the shape it saw when it was opened, appends there and writes its own length into the metadata. A
#           recorder that holds its handle while a repair, a merge or another session appends to the same file overwrites those
#           rows with its next episode, *shortens* the array and reports the new length as right. A reader opened before sees the
#           old length for ever.
# Output:   rows by writer: [1 1 1 1 1 3] where 1 1 1 1 1 2 2 3 was written; the early reader still has 0 rows
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q zarr==3.1.6 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import zarr


def rows(count, writer):
    return np.full((count, 4), writer, "u1")


for version in (2, 3):
    path = f"buffer{version}.zarr"
    zarr.open_group(path, mode="w", zarr_format=version).create_array("action", shape=(0, 4), chunks=(2, 4), dtype="u1")
    recorder = zarr.open_group(path, mode="a")["action"]
    reader = zarr.open_group(path, mode="r")["action"]
    recorder.append(rows(5, 1))
    zarr.open_group(path, mode="a")["action"].append(rows(2, 2))  # another session: opened, appended, done
    between = zarr.open_group(path, mode="r")["action"][:, 0].tolist()
    recorder.append(rows(1, 3))
    after = zarr.open_group(path, mode="r")["action"][:, 0].tolist()
    print("format", version, "before:", between, "after the recorder's next append:", after, "early reader:", reader.shape[0])
    assert between == [1, 1, 1, 1, 1, 2, 2]
    assert after == [1, 1, 1, 1, 1, 3], "append looks at the length on disk now"
    assert recorder.shape[0] == 6 and reader.shape[0] == 0
PY
