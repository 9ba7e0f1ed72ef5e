#!/usr/bin/env bash
# webdataset: frames named by their time in seconds are merged into one sample a second, by its own writer and reader.
#
# Package:  webdataset 1.0.2 (numpy 2.4.6, no torch)
# Source:   webdataset/tariterators.py, base_plus_ext (the name is cut at its first dot); webdataset/writer.py, TarWriter, which
#           takes any key; the package's README: files that share a basename make a sample.
# Guess:    what TarWriter was given under "__key__" comes back under "__key__"; at worst the extension is odd, or two equal names
#           raise. Keys such as episode3/12.48 (seconds) are fine, as folders with dots in their names are.
# Seen:     the key comes back as episode3/12, and all frames of that second are *one* sample, with fields 00.npy, 08.npy, 16.npy.
#           decode() decodes them all. Nothing raises; a loop over the set runs, over fewer samples: at 12.5 Hz, 2 of 25.
# Output:   25 samples written, 2 read: episode3/0 and episode3/1; fields of the first: 00.npy 08.npy ... 96.npy
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q webdataset==1.0.2 numpy==2.4.6
env/bin/python - <<'PY'
import numpy as np
import webdataset

stamps = [n * 0.08 for n in range(25)]  # two seconds at 12.5 Hz
with webdataset.TarWriter("v1.0.tar") as out:
    for stamp in stamps:
        out.write({"__key__": f"episode3/{stamp:.2f}", "npy": np.array([stamp])})

samples = list(webdataset.WebDataset("v1.0.tar", shardshuffle=False).decode())
fields = [sorted(name for name in sample if not name.startswith("__")) for sample in samples]
print(len(stamps), "samples written,", len(samples), "read:", [sample["__key__"] for sample in samples])
print("fields of the first:", *fields[0])
assert [sample["__key__"] for sample in samples] == ["episode3/0", "episode3/1"], "keys with dots come back whole now"
assert len(fields[0]) == 13 and len(fields[1]) == 12 and fields[0][:2] == ["00.npy", "08.npy"]
assert isinstance(samples[0]["08.npy"], np.ndarray)

with webdataset.TarWriter("whole.tar") as out:  # the same stamps in milliseconds: no dot, no merging
    for stamp in stamps:
        out.write({"__key__": f"episode3/{round(1000 * stamp):06d}", "npy": np.array([stamp])})
assert len(list(webdataset.WebDataset("whole.tar", shardshuffle=False))) == 25
PY
