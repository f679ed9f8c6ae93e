"""Other tools' descriptions of machines, as ours: one file a format."""
