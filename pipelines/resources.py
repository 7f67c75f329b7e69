"""What each stage asks of a cluster: processors, memory, time, retries and a place to keep its work, all set here."""

from typing import NamedTuple

from kfp import dsl, kubernetes

KEPT = "/kept"
RUN_ID = "KFP_RUN_ID"


class Resources(NamedTuple):
    """The limits of one stage's pod.

    Attributes:
        cpu: cores.
        memory: of the whole pod, shared memory included.
        shared_memory: size of /dev/shm; the 64 MiB that a container has by default stop multi-process training.
        hours: after which the pod is stopped.
        trains: whether a GPU is worth having.
        retries: how often a pod that failed is started again.
    """

    cpu: str
    memory: str
    shared_memory: str
    hours: int
    trains: bool
    retries: int = 3


RESOURCES: dict[str, Resources] = {
    "prepare": Resources(cpu="4", memory="8Gi", shared_memory="1Gi", hours=6, trains=False),
    "teach": Resources(cpu="8", memory="32Gi", shared_memory="8Gi", hours=96, trains=True),
    "supernet": Resources(cpu="8", memory="32Gi", shared_memory="8Gi", hours=168, trains=True),
    "search": Resources(cpu="8", memory="32Gi", shared_memory="8Gi", hours=72, trains=True),
    "finetune": Resources(cpu="8", memory="32Gi", shared_memory="8Gi", hours=96, trains=True),
    "evaluate": Resources(cpu="8", memory="32Gi", shared_memory="8Gi", hours=12, trains=True),
    "export": Resources(cpu="4", memory="16Gi", shared_memory="1Gi", hours=2, trains=False),
}


class Cluster(NamedTuple):
    """What a cluster offers to a run.

    Attributes:
        gpus: how many a stage that trains gets; with 0 it trains on the processor.
        claim: name of a persistent volume claim to keep unfinished work on. With it, a pod that is started again, and
            a run that is submitted again, go on from the last checkpoint; without it a stage starts afresh. A claim of
            one's own serves better than the workspace Kubeflow makes for each run, whose name changes the cache key.
        at_once: how many recipes of a sweep run side by side.
    """

    gpus: int = 0
    claim: str = ""
    at_once: int = 4


PLAIN = Cluster()


def place(task: dsl.PipelineTask, stage: str, cluster: Cluster) -> dsl.PipelineTask:
    """Gives a stage's task its resources.

    The run's id reaches the pod by Kubernetes' downward API and not as a parameter: a parameter that differs from run
    to run is part of the cache key, and nothing would ever be taken from the cache.

    Args:
        task: the task of a pipeline.
        stage: whose resources.
        cluster: where it runs.

    Returns:
        The same task.
    """
    needs = RESOURCES[stage]
    task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu)
    task.set_memory_request(needs.memory).set_memory_limit(needs.memory)
    task.set_retry(needs.retries, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="1800s")
    if needs.trains and cluster.gpus:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(cluster.gpus)
    kubernetes.set_timeout(task, needs.hours * 3600)
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=needs.shared_memory)
    kubernetes.use_field_path_as_env(task, RUN_ID, "metadata.labels['pipeline/runid']")
    if cluster.claim:
        kubernetes.mount_pvc(task, cluster.claim, KEPT)
    return task
