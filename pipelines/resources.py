"""Cluster resources of each stage: processors, memory, time, retries and the volume for unfinished work."""

from typing import NamedTuple

from kfp import dsl, kubernetes

KEPT = "/kept"
RUN_ID = "KFP_RUN_ID"


class Resources(NamedTuple):
    """Limits of one stage's pod.

    Attributes:
        cpu: cores.
        memory: memory of the whole pod, including shared memory.
        shared_memory: size of /dev/shm; a container's default of 64 MiB is too small for multi-process training.
        hours: time limit, after which the pod is stopped.
        trains: whether the stage gains from a GPU.
        retries: number of restarts after a failure.
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
    """Resources that a cluster gives to a run.

    Attributes:
        gpus: GPUs for each stage that trains; with 0 it trains on the CPU.
        claim: name of a persistent volume claim for unfinished work. With it, a restarted pod and a resubmitted run
            resume from the last checkpoint; without it a stage starts from the beginning. Do not use the workspace
            that Kubeflow creates for each run: its name changes the cache key.
        at_once: number of recipes of a sweep that run in parallel.
    """

    gpus: int = 0
    claim: str = ""
    at_once: int = 4


PLAIN = Cluster()


def place(task: dsl.PipelineTask, stage: str, cluster: Cluster) -> dsl.PipelineTask:
    """Set the resources of a stage's task.

    The pod gets the run's id through Kubernetes' downward API and not as a parameter: a parameter that differs between
    runs is part of the cache key, so the cache would never be used.

    Args:
        task: the task of a pipeline.
        stage: the name of its stage.
        cluster: the cluster that it runs on.

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
