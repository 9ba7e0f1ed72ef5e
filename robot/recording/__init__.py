"""Episodes on disk: recorded, filmed, and written in others' formats."""
