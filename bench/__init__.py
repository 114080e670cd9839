"""Measurements, as ratios taken in one run where machines differ: `make bench`."""
