"""Masks of the task's object through a clip, from its name, with downloaded weights (without: tracking.box_mask)."""
