"""One file per task: what a model is for, and how well it still does it."""
