"""Files of layers, one format a file: a module that offers `FORMAT` is found by being there.

Packages from outside add theirs through the entry-point group `inferstack.models.layer_files`.
"""
