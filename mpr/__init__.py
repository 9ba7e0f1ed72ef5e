"""The preference model: samples, motion predictor, agreement with what was tracked, reward."""
