"""ONNX files as graphs of our operators; the package `onnx` is an optional extra.

`file` reads, `program` binds shapes and folds constants, `recovery` walks from the outputs back:
`operators/` says what a node is, `forms/` what a group of nodes computes together.
"""
