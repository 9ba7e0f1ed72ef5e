"""Robot learning in simulation: the kitchen, demonstrations, policies, experiments."""

from mpr.core.moved import install

install()
