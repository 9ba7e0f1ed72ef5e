"""The robot core: arm, cameras, clock and safety, and what runs on them."""

from mpr.core.moved import install

install()
