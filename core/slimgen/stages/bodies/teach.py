"""The stage that trains or imports the original."""

from collections.abc import Mapping

from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable


def teach(work: Work) -> Mapping[str, float]:
    """The original GAN: trained, or imported from the checkpoints that the recipe names."""
    require_suitable(work.job)
    own = work.recipe.teach.losses
    job = work.job if own is None else work.job.learning(own)
    return job.task.teach(job)
