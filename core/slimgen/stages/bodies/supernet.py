"""Training of the weight-sharing network."""

from collections.abc import Mapping

from slimgen.methods import open_method
from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable


def supernet(work: Work) -> Mapping[str, float]:
    """Train the weight-sharing network as the method does."""
    require_suitable(work.job)
    return open_method(work.recipe.method).supernet(work.job)
