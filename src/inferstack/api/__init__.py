"""What `import inferstack as ist` offers: thin objects around the library's own.

Nothing is computed here that a folder before this one computes. The names are collected, lazily,
in `inferstack/__init__.py`; the command line uses the same ones.
"""
