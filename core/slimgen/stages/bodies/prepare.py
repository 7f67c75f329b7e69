"""Decoding of the images, once."""

from collections.abc import Mapping

from slimgen.stages.work import Work, warn
from slimgen.tasks import task_class


def prepare(work: Work) -> Mapping[str, float]:
    """Decode the images into arrays; write the rejected ones, with reasons, to `manifest.json`.

    Raises:
        DataError: no images, or no known layout.
    """

    def progress(done: int, total: int) -> None:
        work.progress("images", done, total, {})

    manifest = task_class(work.recipe.task).prepare(work.recipe, work.inputs["data"], work.out, progress)
    counts = {f"{name}_images": float(split.count) for name, split in manifest.splits.items()}
    for name, split in manifest.splits.items():
        if split.target_names is not None:  # of two sets, whose other one may be of another length
            counts[f"{name}_targets"] = float(len(split.target_names))
    for note in manifest.notes:
        warn(note)
    return {**counts, "rejected": float(len(manifest.rejected)), "unmatched": float(len(manifest.unmatched))}
