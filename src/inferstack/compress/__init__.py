"""Passes from graph to graph that make a model smaller, with calibration on real data."""
