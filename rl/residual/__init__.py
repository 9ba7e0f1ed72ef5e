"""Residual RL: SAC on stable-baselines3 that learns a small correction to a frozen base policy."""
