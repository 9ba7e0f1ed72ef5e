"""Cameras: simulated, RealSense, recorded video."""
