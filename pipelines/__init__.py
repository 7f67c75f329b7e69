"""Kubeflow pipelines: `compress` runs the seven stages of one recipe, `sweep` those of many on the same data."""
