"""Run folder of a stage: outputs, log, checkpoints, and its copy in MLflow."""
