"""The base policy: a diffusion policy on states and camera frames, learned from demonstrations and then frozen."""
