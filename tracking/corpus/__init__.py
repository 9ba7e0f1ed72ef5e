"""A manifest's actions tracked into clips: each on its own, trimmed, judged by figures and by eye."""
