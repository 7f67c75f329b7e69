"""An exported generator as a version of a registered model."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slimgen.files import sha256_file
from slimgen.run.store import Store

if TYPE_CHECKING:
    from typing import Any as Entity  # of MLflow, which has no types

CANDIDATE, CHAMPION, CHECKED = "candidate", "champion", "parity"  # aliases of a version, and the tag of a checked one


def register(
    store: Store, path: Path, name: str, run: str, experiment: str, tags: Mapping[str, str], *, checked: bool
) -> None:
    """Registers an ONNX file as a version of a model, or finds the version that it is.

    A version gets its alias when it is made, and the champion's once it is checked; never again, so that syncing an
    old run takes no alias from a newer one.

    Args:
        store: where.
        path: the file.
        name: of the model, made if there is none.
        run: the run that exported it.
        experiment: of the run.
        tags: of the version.
        checked: whether it was shown to compute what the network computes.
    """
    client, digest = store.client, sha256_file(path)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run and version.tags.get("sha256") == digest:
            break
    else:
        version = _version(store, path, name, run, experiment, {**tags, "sha256": digest})
        client.set_registered_model_alias(name, CANDIDATE, str(version.version))
    if checked and CHECKED not in version.tags:
        client.set_registered_model_alias(name, CHAMPION, str(version.version))
        client.set_model_version_tag(name, str(version.version), CHECKED, "shown")


def _version(store: Store, path: Path, name: str, run: str, experiment: str, tags: Mapping[str, str]) -> "Entity":
    # mlflow.onnx.log_model does the same by way of a tracking URI and a run that are global to the process.
    import onnx
    import onnxruntime

    client, mlflow, network = store.client, store.mlflow, onnx.load(path)
    logged = client.create_logged_model(experiment, name, run, model_type="generator")
    schemas = (_schema(store, values) for values in (network.graph.input, network.graph.output))
    with tempfile.TemporaryDirectory() as folder:
        mlflow.onnx.save_model(
            network,
            os.path.join(folder, "model"),
            mlflow_model=mlflow.models.Model(run_id=run, model_id=logged.model_id),
            signature=mlflow.models.ModelSignature(*schemas),
            pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
            save_as_external_data=False,
        )
        client.log_model_artifacts(logged.model_id, os.path.join(folder, "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(logged.model_id, step=0)])
    try:
        client.create_registered_model(name)
    except Exception:
        client.get_registered_model(name)  # raises if the reason was not that it already exists
    # A database store would look `models:/` up in the process's global tracking URI, a server in its own.
    source = f"models:/{logged.model_id}" if store.uri.startswith("http") else logged.artifact_location
    version = client.create_model_version(name, source, run, dict(tags), model_id=logged.model_id)
    link = json.dumps([{"name": name, "version": version.version}])  # by which the UI leads from one to the other
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
    return version


def _schema(store: Store, values: "Iterable[Entity]") -> "Entity":
    """The signature of a graph's inputs or outputs; an axis of any length is -1."""
    import onnx

    types, specs = store.mlflow.types, []
    for value in values:
        tensor = value.type.tensor_type
        axes = [-1 if axis.dim_param else int(axis.dim_value) for axis in tensor.shape.dim]
        specs.append(types.TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), axes, value.name))
    return types.Schema(specs)
