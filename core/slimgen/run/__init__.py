"""The run folder of a stage: what it wrote, its log and checkpoints, and what it tells MLflow."""
