"""Compiled kernels: the exact integer definitions. Import the modules inside functions (numba)."""
