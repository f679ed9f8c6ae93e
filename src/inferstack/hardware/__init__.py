"""Accelerators: descriptions (`library/*.yaml`), their energy, and what each number rests on."""
