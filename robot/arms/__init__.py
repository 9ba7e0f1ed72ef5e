"""Arms: simulated, franky, Polymetis."""
