"""The instruction set, the lowering of mappings to programs, and the machine that executes them."""
