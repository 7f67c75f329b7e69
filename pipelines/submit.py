"""Pipeline on a cluster: compiled, checked and submitted to the Kubeflow Pipelines server."""

import warnings
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError as HTTPStatus
from urllib.parse import urlsplit
from urllib.request import urlopen

from kfp import Client, compiler
from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from pipelines.compress import compress
from pipelines.local import named
from pipelines.resources import Cluster
from pipelines.sweep import sweep
from slimgen.addresses import secret, shown, told
from slimgen.errors import DataError, SlimgenError
from slimgen.recipe import Recipe

PATIENCE = 10.0


class ClusterError(SlimgenError):
    """Kubeflow Pipelines server that cannot be reached, or that refuses a run."""


def submit(
    recipes: Sequence[Recipe],
    data: str,
    host: str,
    cluster: Cluster,
    *,
    namespace: str = "kubeflow",
    experiment: str = "slimgen",
    cache: bool = True,
) -> str:
    """Start a run of the compress pipeline, or of the sweep for several recipes.

    Args:
        recipes: at least one recipe, with different names.
        data: the URI of the image folder in an object store that the cluster reads.
        host: the server's address, such as `http://localhost:8080`.
        cluster: GPUs, volume claim and number of recipes in parallel.
        namespace: the namespace of the run on the server.
        experiment: Kubeflow's group of runs.
        cache: whether results of earlier tasks with the same image and inputs may be reused. The cache identifies the
            images by their URI only: new images under an old URI need `False`.

    Returns:
        The address of the run's page.

    Raises:
        RecipeError: two recipes have the same name.
        DataError: data is no URI, or contains a password.
        ClusterError: the server cannot be reached, or refuses the run.
    """
    named(recipes)
    if not urlsplit(data).scheme:
        hint = "upload the folder and give its s3://, gs:// or minio:// address"
        raise DataError("--data must be a URI that the cluster can read", data, hint)
    if secret(data):
        hint = "everybody can see the arguments of a run; keep credentials in a secret of the cluster"
        raise DataError("--data must have no passwords or tokens in it", shown(data), hint)
    reach(host)
    texts = [recipe.to_yaml() for recipe in recipes]
    arguments = {"recipe": texts[0], "data": data} if len(texts) == 1 else {"recipes": texts, "data": data}
    pipeline = (compress if len(texts) == 1 else sweep)(cluster)
    name = recipes[0].name if len(texts) == 1 else f"sweep of {len(texts)}"
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This client only works with", FutureWarning)
        package = str(Path(folder, "pipeline.yaml"))
        compiler.Compiler().compile(pipeline, package)
        try:
            client = Client(host=host, namespace=namespace)
            run = client.create_run_from_pipeline_package(
                package,
                arguments=arguments,
                run_name=name,
                experiment_name=experiment,
                namespace=namespace,
                enable_caching=cache,
            )
        except ApiException as error:
            refused = f"{shown(host)} refused the run: {error.status} {error.reason}"
            raise ClusterError(refused, None, "see the server's log") from error
        except (HTTPError, OSError) as error:
            raise ClusterError(f"{shown(host)} must be a Kubeflow Pipelines server", told(error, host)) from error
    return f"{shown(host).rstrip('/')}/#/runs/details/{run.run_id}"


def reach(host: str) -> None:
    """Check that a server answers, with one request and within `PATIENCE` seconds.

    Kubeflow's client tries five times and prints a page of traceback each time. A server that requires a login passes,
    since the client can log in.

    Raises:
        ClusterError: the host is no address, or no Kubeflow Pipelines server answers there.
    """
    hint = "for one inside a cluster, run `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` first"
    if urlsplit(host).scheme not in ("http", "https") or not urlsplit(host).hostname:
        example = "give one such as http://localhost:8080"
        raise ClusterError("--host must be an http:// or https:// address", repr(shown(host)), example)
    try:
        urlopen(f"{host.rstrip('/')}/apis/v2beta1/healthz", timeout=PATIENCE).close()
    except HTTPStatus as status:
        status.close()
        if status.code not in (401, 403):
            raise ClusterError(f"a Kubeflow Pipelines server must answer at {shown(host)}", status, hint) from None
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        fault = told(cause, host) if isinstance(cause, BaseException) else type(error).__name__
        raise ClusterError(f"a Kubeflow Pipelines server must answer at {shown(host)}", fault, hint) from None
