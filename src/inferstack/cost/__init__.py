"""What a mapping costs: traffic, occupancy, cycles, energy. Begin at `cost.py`."""
