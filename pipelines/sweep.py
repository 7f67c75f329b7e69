"""Pipeline of many recipes on the same data, to compare methods or budgets."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from pipelines.compress import stages
from pipelines.resources import KEPT, PLAIN, Cluster


def sweep(cluster: Cluster = PLAIN) -> BaseComponent:
    """Return the pipeline that runs the seven stages for each recipe of a list.

    Args:
        cluster: the cluster that it will run on.

    Returns:
        A pipeline with the parameters `recipes`, `data` and `kept`.
    """

    @dsl.pipeline(name="sweep")
    def pipeline(recipes: list[str], data: str, kept: str = KEPT if cluster.claim else "") -> None:
        """Run the seven stages for each of several recipes on the same data.

        Args:
            recipes: the recipes as YAML texts, with different names.
            data: the images: a URI of the object store, or a folder when run locally.
            kept: a folder that outlives the pods, for unfinished work; may be empty.
        """
        with dsl.ParallelFor(recipes, parallelism=cluster.at_once) as recipe:
            stages(recipe, data, kept, cluster)

    return pipeline
