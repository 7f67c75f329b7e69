"""Pipeline of one recipe: the seven stages, each with the folders of earlier stages as inputs."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.evaluate import evaluate
from components.export import export
from components.finetune import finetune
from components.prepare import prepare
from components.search import search
from components.supernet import supernet
from components.teach import teach
from pipelines.resources import KEPT, PLAIN, Cluster, place


def compress(cluster: Cluster = PLAIN) -> BaseComponent:
    """Return the pipeline that compresses one generator.

    Args:
        cluster: the cluster that it will run on.

    Returns:
        A pipeline with the parameters `recipe`, `data` and `kept`.
    """

    @dsl.pipeline(name="compress")
    def pipeline(recipe: str, data: str, kept: str = KEPT if cluster.claim else "") -> None:
        """Search a small generator under a budget, measure it against the original and export it to ONNX.

        Args:
            recipe: the recipe as YAML text.
            data: the images: a URI of the object store, or a folder when run locally.
            kept: a folder that outlives the pods, for unfinished work; may be empty.
        """
        stages(recipe, data, kept, cluster)

    return pipeline


def stages(recipe: str, data: str, kept: str, cluster: Cluster) -> None:
    """Add the seven tasks of one recipe to the pipeline or loop around the call."""
    common = {"recipe": recipe, "kept": kept}
    images = dsl.importer(artifact_uri=data, artifact_class=dsl.Dataset, reimport=False)
    images.set_display_name("images")
    prepared = place(prepare(**common, images=images.output), "prepare", cluster).outputs["out"]
    taught = place(teach(**common, prepared=prepared), "teach", cluster).outputs["out"]
    common |= {"prepared": prepared}
    weights = place(supernet(**common, taught=taught), "supernet", cluster).outputs["out"]
    searched = place(search(**common, taught=taught, supernet=weights), "search", cluster).outputs["out"]
    common |= {"taught": taught}
    finetuned = place(finetune(**common, supernet=weights, searched=searched), "finetune", cluster).outputs["out"]
    common |= {"finetuned": finetuned}
    evaluated = place(evaluate(**common, searched=searched), "evaluate", cluster).outputs["out"]
    place(export(**common, evaluated=evaluated), "export", cluster)
