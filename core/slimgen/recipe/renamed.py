"""Keys of recipes that have another name now."""

RENAMED: dict[str, str] = {
    "finetune.uniform": "finetune.rivals: [narrowed]",
    "search.operator_evaluations": "search.operator_share: its part of search.evaluations",
    "search.channel_evaluations": "search.evaluations: of the operator and the channel step together",
    "search.rounds": "search.evaluations: rounds x population",
    "search.iterations": "search.evaluations: 2 x population x (iterations + 1)",
    "search.networks": "search.evaluations: 8",
    "teach.back_generator_checkpoint": "teach.reverse_generator_checkpoint: FILE",
    "teach.back_discriminator_checkpoint": "teach.reverse_discriminator_checkpoint: FILE",
}
"""The dotted key that was, to the key that is, with its form: `finetune.uniform` to `finetune.rivals: [narrowed]`."""
