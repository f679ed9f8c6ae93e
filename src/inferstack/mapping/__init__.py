"""Schedules of operators: loop nests with residency, their exact cost, and the search."""
