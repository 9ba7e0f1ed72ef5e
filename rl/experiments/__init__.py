"""Experiments: each makes its own inputs, keeps raw numbers, and writes one table."""
