"""Robot learning in simulation: the kitchen, demonstrations, policies, experiments."""
