"""Masks of the task's object through a clip, from its name, with downloaded weights (without: box_mask)."""
