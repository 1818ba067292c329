"""Runs: proposed uses of data, on which each person decides; silence is no."""
