"""Kubeflow pipelines: `compress` runs the seven stages of one recipe, `sweep` of many recipes on the same data."""
