"""Exact search over the tiled schedules that a program can express."""
