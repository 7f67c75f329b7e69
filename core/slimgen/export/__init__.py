"""Generators as ONNX files, with the proof that they compute the same and a card that says what they are.

Not imported here, so that `import slimgen.export` stays free of torch: see `onnx` and `card`.
"""
