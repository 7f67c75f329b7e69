"""Generators as ONNX files, with a check of their outputs and a card that describes them.

Not imported here, so that `import slimgen.export` stays free of torch: see `onnx` and `card`.
"""
