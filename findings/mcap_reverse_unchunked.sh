#!/usr/bin/env bash
# mcap: reverse=True yields the messages forwards, if the file was written without chunks.
#
# Package:  mcap 1.6.0 (the Python reader and writer)
# Source:   mcap/reader.py, iter_messages: with log_time_order and reverse, "descending" log times, for any reader that
#           make_reader returns; mcap/writer.py, Writer(use_chunking=False), for recorders that must not lose a chunk in a crash.
# Guess:    next(reader.iter_messages(reverse=True)) is the newest message, whatever the file looks like inside; where that
#           cannot be had cheaply it is slow, or refused (as a stream that cannot seek is).
# Seen:     make_reader chooses by the *stream*: a file on disk gives the seeking reader either way. Without chunk indexes it reads
#           the whole file, sorts by log time, ascending, and forgets `reverse`: "the last state before the stop" is the first of
#           the recording. With chunks, of any size, the order is right.
# Output:   chunked: 50 40 30 20 10; unchunked: 10 20 30 40 50, both from SeekingReader
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q mcap==1.6.0
env/bin/python - <<'PY'
from mcap.reader import make_reader
from mcap.writer import Writer

TIMES = [10, 30, 20, 50, 40]  # as they were written, some of them late
found = {}
for chunked in (True, False):
    with open("log.mcap", "wb") as file:
        writer = Writer(file, use_chunking=chunked)
        writer.start()
        schema = writer.register_schema("state", "jsonschema", b"{}")
        channel = writer.register_channel("/state", "json", schema)
        for time in TIMES:
            writer.add_message(channel, log_time=time, publish_time=time, data=b"{}")
        writer.finish()
    with open("log.mcap", "rb") as file:
        reader = make_reader(file)
        forwards = [message.log_time for _, _, message in reader.iter_messages()]
        backwards = [message.log_time for _, _, message in reader.iter_messages(reverse=True)]
    print("chunked" if chunked else "unchunked", type(reader).__name__, "forwards", forwards, "reverse", backwards)
    assert forwards == sorted(TIMES)
    found[chunked] = backwards
assert found[True] == sorted(TIMES, reverse=True)
assert found[False] == sorted(TIMES), "an unchunked file is read backwards now"
PY
