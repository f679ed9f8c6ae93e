"""Architecture, operator and mapping in the input formats of other mappers, one file per tool.

A tool enters by offering `FORMAT` (see `format`), or from outside under the entry-point group
`inferstack.exchange`.
"""
