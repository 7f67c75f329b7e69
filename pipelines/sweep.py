"""The pipeline of many recipes on the same data, to compare methods or budgets."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from pipelines.compress import stages
from pipelines.resources import KEPT, PLAIN, Cluster


def sweep(cluster: Cluster = PLAIN) -> BaseComponent:
    """The pipeline that runs the seven stages for each recipe of a list.

    Args:
        cluster: where it will run.

    Returns:
        A pipeline with the parameters `recipes`, `data` and `kept`.
    """

    @dsl.pipeline(name="sweep")
    def pipeline(recipes: list[str], data: str, kept: str = KEPT if cluster.claim else "") -> None:
        """Compresses by each of several recipes, on the same data.

        Args:
            recipes: the recipes as YAML texts; no two have the same name.
            data: where the images lie: a URI of the object store, or, run locally, a folder.
            kept: a folder that outlives the pods, for work in progress; may be empty.
        """
        with dsl.ParallelFor(recipes, parallelism=cluster.at_once) as recipe:
            stages(recipe, data, kept, cluster)

    return pipeline
