"""What nodes of ONNX files are in our operators, found by being here.

A file offers `OPERATORS`, handlers by kind of node, and `SHAPES`, for kinds that ONNX itself does
not know: the shapes of the outputs from those of the inputs.
"""
