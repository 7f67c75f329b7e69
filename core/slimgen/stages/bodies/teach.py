"""Training or import of the original."""

from collections.abc import Mapping

from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable


def teach(work: Work) -> Mapping[str, float]:
    """Train the original GAN, or import it from the recipe's checkpoints."""
    require_suitable(work.job)
    own = work.recipe.teach.losses
    job = work.job if own is None else work.job.learning(own)
    return job.task.teach(job)
