"""Converters of a graph for phones to other runtimes, each run by the Python of an environment of its own.

They import nothing of slimgen, which is not installed there: `python -m converters.litert JOB`, with the folder around
this one on the path. A job is a JSON file (`converters.job`).
"""
