"""Video in, masks and point tracks out: the same TrackedClip from human video and from robot video."""

from mpr.core.moved import install

install()
