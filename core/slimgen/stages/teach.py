"""The stage that teaches: the original GAN."""

from collections.abc import Mapping

from slimgen.stages.check import require_suitable
from slimgen.stages.work import Work


def teach(work: Work) -> Mapping[str, float]:
    """The original GAN: trained, or imported from the checkpoints that the recipe names."""
    require_suitable(work.recipe, work.job.data)
    return work.job.task.teach(work.job)
