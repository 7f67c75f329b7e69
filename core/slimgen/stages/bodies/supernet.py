"""The stage that trains the weight-sharing network."""

from collections.abc import Mapping

from slimgen.methods import open_method
from slimgen.stages.work import Work
from slimgen.tasks.task import require_suitable


def supernet(work: Work) -> Mapping[str, float]:
    """The weight-sharing network, trained the method's way."""
    require_suitable(work.job)
    return open_method(work.recipe.method).supernet(work.job)
