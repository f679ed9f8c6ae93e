"""Units, data types, errors and the provenance of numbers: what every other folder stands on."""
