"""What may be wrong beside an arm, by the words that are counted: in events, logs, the campaign's tables and docs."""

from __future__ import annotations

from enum import StrEnum


class FaultKind(StrEnum):
    """A kind of fault; its value is what people read. Why nothing was sent, where the arm was held."""

    ARM_ERROR = "arm error"  # the arm itself says so, or its library raised
    ARM_JUMPED = "arm jumped"  # further than any arm goes in that time
    BAD_STATE = "bad state"  # not finite
    BAD_ACTION = "bad action"
    BAD_IMAGE = "bad image"  # no image, or of another size
    BAD_TIME = "bad time"
    TIME_BACKWARDS = "time backwards"
    TIME_AHEAD = "time ahead"
    CLOCK_BACKWARDS = "clock backwards"
    STALE_STATE = "stale state"
    STALE_IMAGE = "stale image"
    STALE_COMMAND = "stale command"
    NO_IMAGE = "no image"
    BLACK_IMAGE = "black image"
    FROZEN_IMAGE = "frozen image"
    DUPLICATE_STAMP = "duplicate stamp"
    CAMERA_ERROR = "camera error"
    SILENCE = "silence"  # nothing was sent for too long
    OUT_OF_REACH = "out of reach"
    LIMIT = "limit"  # a command would break one: the last check before the arm
    CANNOT_STOP = "cannot stop"
    CANNOT_TELL = "cannot tell"  # nobody heard of an event
    WATCHDOG = "watchdog"  # it failed: nobody stops an arm whose loop hangs
    GUARD_FAILED = "guard failed"  # a mistake of ours
