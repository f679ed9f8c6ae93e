"""The counter for machines that run programs: tiles, DMA requests, queues."""
