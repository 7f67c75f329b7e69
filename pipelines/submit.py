"""A pipeline on a cluster: compiled, checked and handed to the Kubeflow Pipelines server."""

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
    """A Kubeflow Pipelines server that cannot be reached, or that refuses a run."""


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
    """Starts a run of the compress pipeline, or of the sweep where there are several recipes.

    Args:
        recipes: at least one; no two have the same name.
        data: the URI of the images' folder in an object store that the cluster reads.
        host: the server's address, such as `http://localhost:8080`.
        cluster: GPUs, volume claim and how many recipes at once.
        namespace: the server's namespace of the run.
        experiment: Kubeflow's group of runs.
        cache: whether tasks that ran before with the same image and inputs may be taken from the cache. The images are
            known by their URI alone: new images under an old URI need `False`.

    Returns:
        The address of the run's page.

    Raises:
        RecipeError: two recipes have the same name.
        DataError: data is no URI, or has a password in it.
        ClusterError: the server cannot be reached, or refuses.
    """
    named(recipes)
    if not urlsplit(data).scheme:
        hint = "upload the folder and give its s3://, gs:// or minio:// address"
        raise DataError("a cluster reads images from a URI", data, hint)
    if secret(data):
        hint = "a run shows what it was given to everybody; keep them in a secret of the cluster"
        raise DataError("the URI of images is without passwords and tokens", shown(data), hint)
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
            raise ClusterError(
                f"{shown(host)} must accept the run", f"{error.status} {error.reason}", "see its log"
            ) from error
        except (HTTPError, OSError) as error:
            raise ClusterError(f"{shown(host)} must be a Kubeflow Pipelines server", told(error, host)) from error
    return f"{shown(host).rstrip('/')}/#/runs/details/{run.run_id}"


def reach(host: str) -> None:
    """Asks a server for its health, once and within `PATIENCE` seconds.

    Kubeflow's client asks five times, and prints a page of traceback each time. A server that wants a login first
    passes: the client knows how to give one.

    Raises:
        ClusterError: it is no address, nothing listens there, or something else does.
    """
    hint = "for one inside a cluster, `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` first"
    if urlsplit(host).scheme not in ("http", "https") or not urlsplit(host).hostname:
        example = "such as http://localhost:8080"
        raise ClusterError("a host is an http:// or https:// address", repr(shown(host)), example)
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
