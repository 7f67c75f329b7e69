"""Image quality and distances between sets of images, measured by fixed protocols.

Not imported here, so that `import slimgen.metrics` stays free of torch: see `evaluator`, `registry` and `cache`.
"""
