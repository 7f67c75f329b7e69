"""Keys of recipes that have another name now."""

RENAMED: dict[str, str] = {}
"""The dotted key that was, to the key that is, with its form: `finetune.uniform` to `finetune.rivals: [narrowed]`."""
