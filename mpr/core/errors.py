"""The errors a user can meet: one line saying what was asked, what exists and what to do."""

import errno
import struct
import tokenize
import zipfile
import zlib

# What reading a damaged file raises, and making something of values that it should not hold. One flipped bit of an
# .npz can ask zipfile for a password, or for a compression that it does not know: RuntimeError, of which
# NotImplementedError and RecursionError are kinds; or leave a header's bracket open: TokenError, SyntaxError.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)


def in_brief(error: BaseException, most: int = 200) -> str:
    """What a library says in an error, on one line of at most so many characters; its kind where it says nothing."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= most else said[: most - 1] + "…"


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of an OSError: the disk is full, or the user's share of it


class UserError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with status 2."""

    reason = "refused"  # in a few words, for those who count


class BadVideo(UserError):
    """A video that is empty, truncated, too short or not a video."""

    reason = "bad video"


class NoSuchFrame(UserError):
    """An action that names a frame which its video has not."""

    reason = "no such frame"


class BadClip(UserError):
    """A clip folder or episode folder that is missing, half-written, damaged or of the wrong shape."""

    reason = "bad clip"


class OddLengths(BadClip):
    """T actions without T+1 of everything seen: which action led where is not known."""


class NotReady(UserError):
    """This machine or its set-up lacks what every unit of work needs: a device, whole weights.

    The next one would fail the same way.
    """


class MissingWeights(NotReady):
    """Weights, or a model's code, to be fetched first: names it, how to get it, licence and what serves instead."""


class NoGL(UserError):
    """No OpenGL back end can render a frame on this machine."""


class ObjectNotFound(UserError):
    """No detector saw the task's object in a clip, or nothing could be segmented where it was seen."""

    reason = "object not found"


class ObjectLost(UserError):
    """The task's object was found in a clip, and then is out of sight for too long."""

    reason = "object lost"
