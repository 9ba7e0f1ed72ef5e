#!/usr/bin/env bash
# rosbags: asked for a topic that the bag does not hold, the reader yields every topic.
#
# Package:  rosbags 0.11.9 (numpy 2.4.6)
# Source:   rosbags' documentation, the examples of AnyReader: connections = [x for x in reader.connections if x.topic == ...], then
#           reader.messages(connections=connections); its docstring: an empty iterable disables filtering.
# Guess:    the filter of the example gives the messages of that topic; of a topic that was not recorded, none.
# Seen:     none is given as an empty list, and an empty list means no filter. In a set where one recording lacks /right/joint_states
#           (an arm left off, a topic renamed) the loop of the example reads it as having twice the messages, those of the left arm and
#           of everything else of any type; where the types agree, as here, they decode and nothing is said. True of AnyReader and of
#           both plain readers. Check the list, or compare connection.topic in the loop.
# Output:   first bag: 20 messages of /right/joint_states; second bag, without it: 40 of /left/joint_states, /gripper/joint_states
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv env
env/bin/pip install -q rosbags==0.11.9 numpy==2.4.6
env/bin/python - <<'PY'
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

store = get_typestore(Stores.ROS2_HUMBLE)
STATE = "sensor_msgs/msg/JointState"
WANTED, TOPICS = "/right/joint_states", ["/left/joint_states", "/gripper/joint_states", "/right/joint_states"]


def record(path, topics, storage):
    """20 joint states of each topic, 50 ms apart; the position says which topic it was."""
    with Writer(path, version=9, storage_plugin=storage) as bag:
        connections = {topic: bag.add_connection(topic, STATE, typestore=store) for topic in topics}
        for n in range(20):
            stamp = store.types["builtin_interfaces/msg/Time"](sec=0, nanosec=50_000_000 * n)
            header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
            for topic, connection in connections.items():
                position = np.array([float(TOPICS.index(topic))])
                state = store.types[STATE](header=header, name=["joint1"], position=position, velocity=np.zeros(0), effort=np.zeros(0))
                bag.write(connection, 50_000_000 * n, store.serialize_cdr(state, STATE))


def positions(reader, decode):
    connections = [c for c in reader.connections if c.topic == WANTED]
    return [float(decode(raw, c.msgtype).position[0]) for c, _, raw in reader.messages(connections=connections)]


for storage in (StoragePlugin.SQLITE3, StoragePlugin.MCAP):
    for name, topics in (("first", TOPICS), ("second", TOPICS[:2])):
        path = Path(f"{name}_{storage.name}")
        record(path, topics, storage)
        with AnyReader([path]) as reader:
            found = positions(reader, reader.deserialize)
        with Reader(path) as reader:
            assert positions(reader, store.deserialize_cdr) == found
        print(storage.name, name, "bag:", len(found), "messages of", *sorted({TOPICS[int(x)] for x in found}))
        if name == "first":
            assert found == [2.0] * 20
        else:
            assert found == [0.0, 1.0] * 20, "a topic that is not there has no messages now"
PY
