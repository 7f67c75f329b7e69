"""Import of published checkpoints: wrapped, prefixed or with norms in parts; renamed to a network's own names."""
