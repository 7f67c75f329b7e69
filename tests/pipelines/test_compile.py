import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, components
from kfp.pipeline_spec import pipeline_spec_pb2

from components.image import IMAGE
from pipelines.compress import compress
from pipelines.resources import KEPT, RESOURCES, Cluster
from pipelines.sweep import sweep
from slimgen.stages.table import STAGES

BEFORE = {
    "prepare": set(),
    "teach": {"prepare"},
    "supernet": {"prepare", "teach"},
    "search": {"prepare", "teach", "supernet"},
    "finetune": {"prepare", "teach", "supernet", "search"},
    "evaluate": {"prepare", "teach", "search", "finetune"},
    "export": {"prepare", "teach", "finetune", "evaluate"},
}


def compiled(pipeline, folder):
    file = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    spec, platforms = yaml.safe_load_all(file.read_text())
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    kubernetes = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors = spec["deploymentSpec"]["executors"]
    return file.read_text(), message, executors, kubernetes


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return compiled(compress(), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    return compiled(compress(Cluster(gpus=2, claim="work")), tmp_path_factory.mktemp("clustered"))


def test_the_compiled_pipeline_is_one_that_kubeflow_reads(plain):
    text, message, _, _ = plain
    assert components.load_component_from_text(text).name == "compress"
    assert set(message.root.dag.tasks) == {"importer", *STAGES}


def test_a_stage_is_fed_by_the_stages_before_it(plain):
    tasks = plain[1].root.dag.tasks
    for stage, before in BEFORE.items():
        artifacts = tasks[stage].inputs.artifacts.values()
        fed = {artifact.task_output_artifact.producer_task for artifact in artifacts}
        assert fed == (before or {"importer"}), stage


def test_there_is_one_image(plain):
    executors = plain[2]
    images = {executor["container"]["image"] for name, executor in executors.items() if name != "exec-importer"}
    assert images == {IMAGE}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_resources_retries_time_limit_and_shared_memory(plain, stage):
    _, message, executors, kubernetes = plain
    resources = executors[f"exec-{stage}"]["container"]["resources"]
    assert resources["resourceCpuLimit"] == RESOURCES[stage].cpu
    assert resources["resourceMemoryLimit"] == RESOURCES[stage].memory
    assert message.root.dag.tasks[stage].retry_policy.max_retry_count == RESOURCES[stage].retries
    pod = kubernetes[f"exec-{stage}"]
    assert int(pod["activeDeadlineSeconds"]) == 3600 * RESOURCES[stage].hours
    (shared,) = pod["emptyDirMounts"]
    assert (shared["mountPath"], shared["medium"]) == ("/dev/shm", "Memory")


def test_without_gpus_and_claim_nothing_asks_for_them(plain):
    text = plain[0]
    assert "nvidia" not in text
    assert "pvcMount" not in text
    assert plain[1].root.input_definitions.parameters["kept"].default_value.string_value == ""


def test_gpus_go_to_the_stages_that_train(clustered):
    executors = clustered[2]
    counts = {
        stage: executors[f"exec-{stage}"]["container"]["resources"].get("accelerator", {}).get("resourceCount")
        for stage in STAGES
    }
    assert counts == {stage: "2" if RESOURCES[stage].trains else None for stage in STAGES}


def test_a_claim_is_mounted_for_every_stages_work(clustered):
    _, message, _, kubernetes = clustered
    assert message.root.input_definitions.parameters["kept"].default_value.string_value == KEPT
    for stage in STAGES:
        (mount,) = kubernetes[f"exec-{stage}"]["pvcMount"]
        assert (mount["mountPath"], mount["pvcNameParameter"]["runtimeValue"]["constant"]) == (KEPT, "work")


def test_no_parameter_changes_from_run_to_run_so_that_the_cache_is_of_use(clustered):
    text, _, _, kubernetes = clustered
    for placeholder in ("pipeline_job_uuid", "pipeline_job_name", "workspace_path", "create_time"):
        assert f"{{{{$.{placeholder}" not in text
    assert kubernetes["exec-teach"]["fieldPathAsEnv"][0]["name"] == "KFP_RUN_ID"


def test_a_sweep_runs_the_seven_stages_for_each_recipe(tmp_path):
    _, message, executors, _ = compiled(sweep(Cluster(at_once=3)), tmp_path)
    (loop,) = message.root.dag.tasks.values()
    assert loop.iterator_policy.parallelism_limit == 3
    assert loop.parameter_iterator.items.input_parameter.endswith("--recipes")
    inner = message.components[loop.component_ref.name].dag.tasks
    assert set(inner) == {"importer", *STAGES}
    assert {f"exec-{stage}" for stage in STAGES} <= set(executors)
