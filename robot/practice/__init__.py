"""The robot as something to practise in: the simulated arm and a real one, behind rl.environments.practice."""
