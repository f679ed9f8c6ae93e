"""The way in: architectures by name, Hugging Face folders, and the scenario they are run in."""
