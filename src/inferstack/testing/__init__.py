"""Conformance kits for extensions."""
