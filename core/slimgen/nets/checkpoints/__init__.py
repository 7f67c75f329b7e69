"""Checkpoints as people have them: wrapped, prefixed, with norms in parts; brought into a network's own naming."""
