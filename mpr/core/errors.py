"""The errors a user can meet: one line saying what was asked, what exists and what to do."""

import errno
import tokenize
import zipfile
import zlib

# What NumPy raises over a damaged .npz. One flipped bit can ask zipfile for a password, or for a compression that it
# does not know: RuntimeError, of which NotImplementedError is a kind; or leave a header's bracket open: TokenError.
UNREADABLE = (
    KeyError,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of an OSError: the disk is full, or the user's share of it


class UserError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with status 2."""

    reason = "refused"  # in a few words, for those who count


class BadVideo(UserError):
    """A video that is empty, truncated, too short or not a video."""

    reason = "bad video"


class BadClip(UserError):
    """A clip folder or episode folder that is missing, half-written, damaged or of the wrong shape."""

    reason = "bad clip"


class NotReady(UserError):
    """This machine or its set-up lacks what every unit of work needs: a device, whole weights. The next one would fail
    the same way."""


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
