"""Image quality and distances between sets of images, measured by fixed protocols.

No module is imported here, so that `import slimgen.metrics` needs no torch: see `evaluator`, `registry` and `cache`.
"""
