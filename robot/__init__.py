"""The robot core: arm, cameras, clock and safety, and what runs on them."""
