"""One file a family: how its config.json is read, and what its files call the weights."""
