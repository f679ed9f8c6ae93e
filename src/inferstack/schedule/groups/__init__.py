"""Which neighbours to fuse: the best of all partitions."""
