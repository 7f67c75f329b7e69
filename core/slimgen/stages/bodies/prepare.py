"""Decoding of the images, once."""

from collections.abc import Mapping

from slimgen.stages.work import Work, warn
from slimgen.tasks import task_class


def prepare(work: Work) -> Mapping[str, float]:
    """Decode the images into arrays; write the rejected ones, with reasons, to `manifest.json`.

    Raises:
        DataError: there are no images, or their layout is unknown.
    """

    def progress(done: int, total: int) -> None:
        work.progress("images", done, total, {})

    manifest = task_class(work.recipe.task).prepare(work.recipe, work.inputs["data"], work.out, progress)
    counts = {f"{name}_images": float(split.count) for name, split in manifest.splits.items()}
    for name, split in manifest.splits.items():
        if split.target_names is not None:  # two sets of images may have different lengths
            counts[f"{name}_targets"] = float(len(split.target_names))
    for note in manifest.notes:
        warn(note)
    return {**counts, "rejected": float(len(manifest.rejected)), "unmatched": float(len(manifest.unmatched))}
