"""What acts: policies by name, and a diffusion policy that plans ahead of the control loop."""
