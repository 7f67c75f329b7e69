"""MLflow's model registry: a version for each exported generator, and the aliases that point at one of them."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slimgen.files import sha256_file
from slimgen.run.champion import CLASS, Standing
from slimgen.run.entries import abridged
from slimgen.run.store import Store

if TYPE_CHECKING:
    from typing import Any as Entity  # of MLflow, which has no types

CANDIDATE, CHAMPION = "candidate", "champion"  # aliases
CHECKED, BEST = "parity", "best"  # tags of a version that passed the parity check, and of the best of its class
MODEL = "slimgen.model"  # tag of a version: the id of its logged model
HEAD = "Generators that slimgen found"
ABOUT = (
    f"{HEAD} with the recipe {{recipe}}; each passed the parity check of its ONNX file against the PyTorch network. "
    "`candidate` is the newest version. `champion` is the best one by its score: a version takes it only from one that "
    "it beats, with the same tag `class`: same task, size, metric, protocol, test images and limits (the tags "
    "`class.*`). In every other class, the best version has the tag `best`. A version's description is its card."
)


class Exported(NamedTuple):
    """An exported generator that passed its parity check.

    Attributes:
        path: its ONNX file.
        card: its card in Markdown, which need not exist.
        name: name of the registered model.
        tags: what is known of it: recipe, quality, costs and the like.
        params: parameters of its logged model.
        figures: metrics of its logged model that depend on its files.
        beside: files that are kept with the ONNX file, such as its variants.
        standing: by which it may become champion; None for a trial, or if nothing was measured.
    """

    path: Path
    card: Path
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    figures: Mapping[str, float]
    beside: tuple[Path, ...]
    standing: Standing | None


def register(store: Store, exported: Exported, run: str, experiment: str) -> str:
    """Register an exported generator as a version of a model, or find its version; return the id of its logged model.

    A version gets the alias `candidate` when it is created, and is compared with the champion once. So a repeated sync
    of an old run takes no alias from a newer or better version, nor from one that a person chose.
    """
    client, name, digest = store.client, exported.name, sha256_file(exported.path)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run and version.tags.get("sha256") == digest:
            break
    else:
        version = _version(store, exported, run, experiment, {**exported.tags, "sha256": digest})
        client.set_registered_model_alias(name, CANDIDATE, str(version.version))
    known = {**exported.tags, CHECKED: "shown"}
    for tag, value in known.items():
        if version.tags.get(tag) != value:
            client.set_model_version_tag(name, str(version.version), tag, value)
    if exported.card.is_file() and version.description != (text := abridged(exported.card)):
        client.update_model_version(name, str(version.version), text)
    if exported.standing is not None and CLASS not in version.tags:
        with store.alone():
            _judge(store, name, str(version.version), exported.standing)
    return str(version.tags.get(MODEL, ""))


def _judge(store: Store, name: str, version: str, standing: Standing) -> None:
    """Compare a version, once, with the others of its class and with the champion; tag and alias follow."""
    client = store.client
    others = [one for one in client.search_model_versions(f"name = '{name}'") if str(one.version) != version]
    rivals = [one for one in others if standing.comparable(one.tags)]
    aliases = client.get_registered_model(name).aliases
    holder = next((one for one in others if str(one.version) == str(aliases.get(CHAMPION))), None)
    # The champions of slimgen before 0.2 were the newest versions, whatever they were worth.
    unjudged = holder is not None and CHECKED in holder.tags and CLASS not in holder.tags
    if CHAMPION not in aliases or unjudged or (holder is not None and standing.beats(holder.tags)):
        client.set_registered_model_alias(name, CHAMPION, version)
    if all(standing.beats(one.tags) for one in rivals):
        client.set_model_version_tag(name, version, BEST, "true")
        for one in rivals:
            if BEST in one.tags:
                client.delete_model_version_tag(name, str(one.version), BEST)
    for tag, value in standing.tags().items():  # the class last: it marks a judged version
        client.set_model_version_tag(name, version, tag, value)


def _version(store: Store, exported: Exported, run: str, experiment: str, tags: Mapping[str, str]) -> "Entity":
    # mlflow.onnx.log_model does the same, but with a tracking URI and a run that are global to the process.
    import onnx
    import onnxruntime

    client, mlflow, network = store.client, store.mlflow, onnx.load(exported.path)
    logged = client.create_logged_model(
        experiment, exported.name, run, params=dict(exported.params), model_type="ONNX file"
    )
    schemas = (_schema(store, values) for values in (network.graph.input, network.graph.output))
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, "model")
        mlflow.onnx.save_model(
            network,
            place,
            mlflow_model=mlflow.models.Model(run_id=run, model_id=logged.model_id),
            signature=mlflow.models.ModelSignature(*schemas),
            pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
            save_as_external_data=False,
        )
        for path in exported.beside:
            shutil.copy(path, place)
        client.log_model_artifacts(logged.model_id, place)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(logged.model_id, step=0)])
    about = ABOUT.format(**{"recipe": "?", **tags})
    try:
        client.create_registered_model(exported.name, description=about)
    except Exception:
        # Raises if the model does not exist, so that something else went wrong.
        there = client.get_registered_model(exported.name)
        if str(there.description).startswith(HEAD) and there.description != about:
            client.update_registered_model(exported.name, about)
    # A database store would look up `models:/` in the process's global tracking URI, a server in its own store.
    source = f"models:/{logged.model_id}" if store.uri.startswith("http") else logged.artifact_location
    # A database store does not keep the model's id by itself.
    told = {**tags, MODEL: logged.model_id}
    version = client.create_model_version(exported.name, source, run, told, model_id=logged.model_id)
    # The UI's link from the model to its version.
    link = json.dumps([{"name": exported.name, "version": version.version}])
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
    return version


def _schema(store: Store, values: "Iterable[Entity]") -> "Entity":
    """Return the signature of a graph's inputs or outputs; a variable axis is -1."""
    import onnx

    types, specs = store.mlflow.types, []
    for value in values:
        tensor = value.type.tensor_type
        axes = [-1 if axis.dim_param else int(axis.dim_value) for axis in tensor.shape.dim]
        specs.append(types.TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), axes, value.name))
    return types.Schema(specs)
