import json
import math
import re
import shutil

import pytest
from typer.testing import CliRunner

from slimgen.cli.app import app
from slimgen.cli.profile import parse_options
from slimgen.errors import SlimgenError
from slimgen.nets.cf_gan.space import Shape, trellis_cost, trellis_space
from slimgen.recipe import Recipe, presets
from slimgen.run.folder import StageFolder
from slimgen.stages.table import STAGES


@pytest.fixture
def slimgen():
    def call(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def test_every_stage_is_a_command_that_asks_for_its_folders(slimgen):
    for name, stage in STAGES.items():
        shown = slimgen(name, "--help")
        assert shown.exit_code == 0
        named = set(re.findall(r"--([a-z]+)", shown.stdout)) - {"help"}
        assert named == {"recipe", "run", "out", "set", "name", "group", "quick", "json", *stage.reads}
        assert stage.about in shown.stdout


def test_a_folder_that_is_no_finished_stage_is_one_line_and_status_2(slimgen, tmp_path):
    said = slimgen("teach", "--recipe", "townhouses-cf_gan", "--prepare", tmp_path, "--out", tmp_path / "teach")
    assert said.exit_code == 2
    assert said.stderr.startswith("error: --prepare must be the folder of a finished prepare stage; got ")
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "teach").exists()


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["run", "townhouses-cf_gna"], "did you mean 'townhouses-cf_gan'?"),
        (["run", "townhouses-cf_gan", "--set", "serch.rounds=4"], "did you mean 'search'?"),
        (["run", "townhouses-cf_gan", "--set", "teach.updats=4"], "did you mean 'updates'?"),
        (["run", "townhouses-cf_gan", "--until", "serch"], "did you mean 'search'?"),
        (["recipes", "townhouse"], "did you mean 'townhouses-cf_gan'?"),
        (["spaces", "channel-48"], "did you mean 'channels-48'?"),
        (["spaces", "channels-48", "--family", "resnt"], "did you mean 'resnet'?"),
        (["spaces", "alphgan"], "did you mean 'alphagan'?"),
        (["spaces", "channel-48", "--macs", "1e9"], "did you mean 'channels-48'?"),
        (["profile", "mobile_resnet", "--config", "1_2"], "eight positive numbers"),
        (["profile", "resnt"], "did you mean 'resnet'?"),
        (["profile", "alphagan"], "needs the key 'genotype'; give options as --key value, and tables as JSON files"),
        (["profile", "resnet", "--ngff", "3"], "did you mean 'ngf'?"),
        (["data", "get", "facade", "nowhere"], "did you mean 'facades'?"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(slimgen, words, suggestion):
    said = slimgen(*words)
    assert said.exit_code == 2
    assert said.stderr.startswith("error: ")
    assert suggestion in said.stderr


def test_an_unknown_command_is_answered_with_the_nearest(slimgen):
    said = slimgen("recipe")
    assert said.exit_code == 2
    assert "recipes" in said.stderr


def test_debug_shows_where_a_fault_arose(slimgen):
    assert isinstance(slimgen("--debug", "profile", "resnt").exception, SlimgenError)


def test_keys_are_listed_with_defaults_and_meanings(slimgen):
    listed = json.loads(slimgen("recipes", "--keys", "cf_gan", "--json").stdout)
    shown = slimgen("recipes", "--keys", "cf_gan").stdout
    assert [key["name"] for key in listed] == re.findall(r"^(supernet\S+|search\S+) ", shown, re.MULTILINE)
    assert re.search(r"^search.population +24  \(whole number, at least 2\)$", shown, re.MULTILINE)


def test_recipes_are_listed_with_their_purpose(slimgen):
    listed = json.loads(slimgen("recipes", "--json").stdout)
    assert [one["name"] for one in listed] == list(presets())
    assert all(set(one) == {"name", "task", "method", "size", "about"} for one in listed)
    shown = slimgen("recipes").stdout
    assert all(one["name"] in shown for one in listed)
    assert max(map(len, shown.splitlines())) <= 100
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith("  ")}
    assert set(rows) == {one["name"] for one in listed}
    assert re.search(r" \d+ min  drawn labels", rows["townhouses-cf_gan"])
    assert " GPU  the paper's: maps" in rows["cf_gan-maps"]
    [streets] = [one for one in listed if one["name"] == "gan_compression-gaugan-cityscapes"]
    assert streets["size"] == [256, 512]
    assert "256 x 512" in shown


def test_a_printed_recipe_reads_back_unchanged(slimgen):
    for name, path in presets().items():
        printed = Recipe.parse(slimgen("recipes", name).stdout)
        assert printed == Recipe.parse(path.read_text(), name)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Published counts of the 9-block ResNet, the U-Net of pix2pix and its 70x70 PatchGAN at 256 x 256.
        (["resnet", "--ngf", 64, "--blocks", 9, "--size", 256], (11378179, 49551507456, 56799264768, 56831770624)),
        (["unet", "--norm=batch"], (54413955, 6048186368, 18140364800, 18140364800)),
        # Sub-networks of GAN Compression, in the authors' notation and in the paper's shorter one.
        (
            ["mobile_resnet", "--config", "32_32_48_32_48_48_16_16", "--size", 256],
            (822051, 4055629824, 4961599488, 4993843200),
        ),
        (["mobile_resnet", "--config=48_48_48_48_48_48"], (1130883, 6488064000, 10564927488, 10603462656)),
        (["patchgan", "--ndf", 64], (2767809, 3197140992, 3197140992, 3198419456)),
        (
            ["patchgan", "--discriminator", "--height", 256, "--width", 256],
            (2767809, 3197140992, 3197140992, 3198419456),
        ),
    ],
)
def test_profile_counts_under_every_convention(slimgen, words, expected):
    facts = json.loads(slimgen("profile", *words, "--json").stdout)
    assert (facts["params"], *list(facts["macs"].values())[:3]) == expected
    assert list(facts["macs"]) == ["exact", "torchprofile", "gan-compression", "thop"]
    assert facts["bytes"] == 4 * expected[0]
    shown = slimgen("profile", *words).stdout
    assert all(f"{number:,}" in shown for number in expected)


def test_spaces_have_their_published_sizes_and_count_configurations_within_a_limit(slimgen):
    listed = json.loads(slimgen("spaces", "--json").stdout)
    sizes = {name: facts["configurations"] for name, facts in listed.items()}
    assert sizes["channels-48"] == 5184
    assert sizes["channels-64-pix2pix"] == 7**8
    facts = json.loads(slimgen("spaces", "channels-48", "--macs", 1e12, "--json").stdout)
    assert facts["within_the_limit"] == facts["configurations"]
    assert (facts["largest"], facts["largest_params"]) == ("48_48_48_48_48_48_48_48", 1130883)
    least = facts["smallest_macs"]
    assert json.loads(slimgen("spaces", "channels-48", "--macs", least, "--json").stdout)["within_the_limit"] == 1
    assert "5,184 configurations" in slimgen("spaces").stdout


def test_spaces_of_operations_have_the_papers_sizes_and_list_their_choices(slimgen):
    listed = json.loads(slimgen("spaces", "--json").stdout)
    sizes = {name: facts["configurations"] for name, facts in listed.items()}
    assert sizes["alphagan"] == (6**3 * 3**2) ** 3 * 3**3
    assert sizes["alphagan-no-deconvolution"] == (6**3 * 2**2) ** 3 * 2**3
    assert sizes["alphagan-discriminator"] == 3 * 6**7
    assert f"{sizes['cyclegan_nas']:.1e}" == "2.2e+15"
    assert sizes["cyclegan_nas-discriminator"] == 8**4
    shown = json.loads(slimgen("spaces", "cyclegan_nas", "--json").stdout)
    assert shown["configurations"] == math.prod(len(options) for options in shown["choices"].values())
    assert "cell3.skip1             nearest, bilinear, deconv\n" in slimgen("spaces", "alphagan").stdout
    for words, told in ((["alphagan"], "--size, --macs for alphagan"), ([], "--size, --macs without a name")):
        refused = slimgen("spaces", *words, "--macs", 1e9, "--size", 32)
        assert refused.exit_code == 2
        assert f"need a named space of channels; got {told}" in refused.stderr


def test_profile_takes_a_genotype_from_the_file_that_search_wrote(slimgen, tmp_path):
    shape = Shape(ngf=8)
    genotype = trellis_space(shape).largest()
    (tmp_path / "genotype.json").write_text(json.dumps({"key": genotype.key, "genotype": genotype.to_json()}))
    words = "--ngf", 8, "--genotype", tmp_path / "genotype.json", "--height", 32, "--width", 64, "--json"
    facts = json.loads(slimgen("profile", "trellis", *words).stdout)
    assert facts["macs"]["exact"] == trellis_cost(shape, genotype, 32, 64).exact


def test_profile_measures_the_time_when_asked(slimgen):
    words = "--ngf", 2, "--blocks", 1, "--size", 16, "--latency", "--runs", 3, "--json"
    latency = json.loads(slimgen("profile", "resnet", *words).stdout)["latency"]
    assert 0 < latency["p50_ms"] <= latency["p95_ms"]
    assert (latency["runs"], latency["threads"], latency["height"]) == (3, 1, 16)


@pytest.mark.parametrize(
    "words",
    [
        *(["resnet", "--ngf", "many"], ["resnet", "stray"], ["resnet", "--ngf"], ["resnet", "--discriminator"]),
        *(["trellis"], ["trellis", "--genotype", "best"], ["alphagan", "--genotype", "alphagan_s"]),
        *(["cyclegan_nas", "--genotype", "x"], ["sngan", "--discriminator", "--genotype", "x"]),
    ],
)
def test_options_that_make_no_network_are_refused_in_one_line(slimgen, words):
    said = slimgen("profile", *words)
    assert said.exit_code == 2
    assert said.stderr.startswith("error: ")
    assert said.stderr.count("\n") == 1


def test_options_of_a_family_are_read_as_yaml():
    words = ["--ngf", "64", "--rate=0.5", "--in-channels", "3", "--spectral", "true", "--ratios", "[0.5, 1]"]
    read = parse_options(words)
    assert read == {"ngf": 64, "rate": 0.5, "in_channels": 3, "spectral": True, "ratios": [0.5, 1]}


def test_townhouses_are_drawn_and_checked(slimgen, tmp_path):
    drawn = slimgen("data", "townhouses", tmp_path / "a", "--train", 3, "--test", 2, "--size", 32)
    assert drawn.exit_code == 0
    (tmp_path / "a" / "train" / "broken.png").write_text("no image")
    found = json.loads(slimgen("data", "check", tmp_path / "a", "--json").stdout)
    assert found["layout"] == "side by side"
    assert found["pairs"] == {"train": 4, "test": 2}
    assert list(found["rejected"]) == ["train/broken.png"]
    too_small = json.loads(slimgen("data", "check", tmp_path / "a", "--size", 33, "--json").stdout)
    assert len(too_small["rejected"]) == 6
    recipe, larger = ("--recipe", "townhouses-cf_gan"), ("--set", "size=33", "--set", "data.validation=1")
    assert "got 32; set data.validation to 1" in slimgen("data", "check", tmp_path / "a", *recipe).stderr
    assert "the crop of 33 x 33" in slimgen("data", "check", tmp_path / "a", *recipe, *larger).stderr
    alone = slimgen("data", "check", tmp_path / "a", *larger)
    assert alone.exit_code == 2
    assert "--set changes a value of a recipe; add --recipe" in alone.stderr


def test_two_sets_are_drawn_and_checked(slimgen, tmp_path):
    options = ["--layout", "unpaired", "--train", 3, "--night", 2, "--test", 1, "--size", 32]
    drawn = slimgen("data", "townhouses", tmp_path / "a", *options)
    assert drawn.exit_code == 0
    assert "3 by day and 2 by night" in drawn.stdout
    said = slimgen("data", "check", tmp_path / "a", "--task", "unpaired")
    assert "train 3 + 2, test 1 + 1" in said.stdout
    back = slimgen("data", "check", tmp_path / "a", "--task", "unpaired", "--direction", "BtoA", "--size", 33, "--json")
    found = json.loads(back.stdout)
    assert found["layout"] == "two folders"
    assert found["images"] == {"train": {"input": 2, "target": 3}, "test": {"input": 1, "target": 1}}
    assert len(found["rejected"]) == 7
    assert slimgen("data", "check", tmp_path / "a").exit_code == 2
    assert "did you mean 'unpaired'?" in slimgen("data", "check", tmp_path / "a", "--task", "unpared").stderr


def test_images_to_make_of_noise_are_drawn_and_checked(slimgen, tmp_path):
    options = ["--layout", "images", "--train", 3, "--test", 1, "--size", 32]
    assert slimgen("data", "townhouses", tmp_path / "a", *options).exit_code == 0
    (tmp_path / "a" / "train" / "broken.png").write_text("no image")
    found = json.loads(slimgen("data", "check", tmp_path / "a", "--task", "unconditional", "--json").stdout)
    assert found["layout"] == "train and test"
    assert found["images"] == {"train": 4, "test": 1}
    assert list(found["rejected"]) == ["train/broken.png"]
    assert "train 4, test 1" in slimgen("data", "check", tmp_path / "a", "--task", "unconditional").stdout


def test_townhouses_are_not_mixed_with_other_pictures(slimgen, tmp_path):
    (tmp_path / "own.png").write_bytes(b"mine")
    said = slimgen("data", "townhouses", tmp_path, "--train", 1, "--test", 1)
    assert said.exit_code == 2
    assert "new or empty" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["own.png"]


def test_public_sets_are_listed_with_their_terms(slimgen):
    listed = json.loads(slimgen("data", "list", "--json").stdout)
    assert {"facades", "horse2zebra"} <= set(listed)
    assert all(one["url"].startswith("https://") and one["terms"] for one in listed.values())


def test_the_ui_of_a_tracking_server_is_that_server(slimgen, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.invalid:5000")
    said = slimgen("ui")
    assert said.exit_code == 0
    assert said.stdout == "the runs are tracked at http://tracker.invalid:5000\n"


def test_the_ui_prints_the_addresses_of_runs_generators_and_candidates(
    slimgen, tiny_run, template, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(template, tmp_path)}")
    for name in ("PYTHONWARNINGS", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_REGISTRY_STORE_URI"):
        monkeypatch.setenv(name, "")  # to be as it was, afterwards
    served, opened = [], []
    monkeypatch.setattr("slimgen.cli.ui.os.execv", lambda program, words: served.append(words))
    monkeypatch.setattr("slimgen.cli.ui.subprocess.Popen", opened.append)
    run = shutil.copytree(tiny_run, tmp_path / "run")
    assert slimgen("ui", "--sync", run).exit_code == 0
    runs = "http://127.0.0.1:5007/#/experiments/1/runs?workflowType=machine_learning"
    lines = slimgen("ui", "--port", "5007").stderr.splitlines()
    assert lines[0].startswith(f"{runs} shows sqlite:")
    assert lines[1].endswith(f"{runs}&viewStateShareKey=slimgen-generators&compareRunsMode=TABLE")
    assert (len(lines), len(served), opened) == (2, 1, [])
    lines = slimgen("ui", "--port", "5007", "--compare", run, "--open").stderr.splitlines()
    assert lines[2].startswith(f"candidates of {run}: {runs}&viewStateShareKey=slimgen-candidates-")
    assert lines[2].endswith("&compareRunsMode=CHART")
    assert opened[0][-1] == lines[2].partition(": ")[2]
    none = slimgen("ui", "--compare", tmp_path)
    assert (none.exit_code, "a finished search" in none.stderr) == (2, True)


def test_runs_are_synced_by_hand_into_any_store(slimgen, template, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(template, tmp_path)}")
    said = slimgen("ui", "--sync")
    assert (said.exit_code, "no folder in runs/" in said.stderr) == (2, True)
    (tmp_path / "empty").mkdir()
    assert "must hold stages" in slimgen("ui", "--sync", "empty").stderr
    assert "add --sync" in slimgen("ui", "empty").stderr
    for run in ("one", "two"):
        about = {"tags": {"recipe": run}, "group": run}
        StageFolder(tmp_path / "runs" / run / "teach", "teach", run).begin(about).finish({"metrics": {"updates": 6}})
    assert slimgen("ui", "--sync").stdout == "MLflow shows runs/one\nMLflow shows runs/two\n"
    assert slimgen("ui", "--sync", "runs/two/teach").exit_code == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("slimgen").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["one", "teach", "teach", "two"]
