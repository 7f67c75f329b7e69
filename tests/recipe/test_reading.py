"""What a recipe's text stands for, and what it may not be."""

import sys
from pathlib import Path

import pytest

from slimgen.errors import RecipeError
from slimgen.recipe import Recipe, load
from slimgen.recipe.names import require_name
from slimgen.recipe.reading import LARGEST_FILE, read

TEXT = """\
task: paired
method: cf_gan
data: {direction: AtoB}
budget: {macs: 1/2}
teach: {updates: 1, batch: 2}
finetune:
  updates: 1
"""


def changed(old: str, new: str) -> Recipe:
    assert old in TEXT
    return Recipe.parse(TEXT.replace(old, new), "small")


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(text, "small")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e6", 3_000_000),
        ("4.9e9", 4_900_000_000),
        ("1.5e0", 1.5),
        ("2.5e-3", 0.0025),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("7.", 7.0),
        ("0", 0),
        ("-12", -12),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("1/8", "1/8"),
        ("12.5%", "12.5%"),
        ("2024-01-31", "2024-01-31"),
        ("32_40_48", "32_40_48"),
        ("'032'", "032"),
        ("1e", "1e"),
        ("0.0.1", "0.0.1"),
    ],
)
def test_plain_text_is_one_value(text: str, value: object) -> None:
    found = read(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "032",
        "-07",
        "08",
        "0_7",
        "00.5",
        "0o17",
        "0x1F",
        "0b101",
        "1:04",
        "-1:30:00",
        "190:20:30.15",
        ".inf",
        "-.INF",
        ".nan",
    ],
)
def test_a_number_for_only_some_readers_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"line 2: a number must be decimal"):
        read(f"a: 1\nb: {text}")
    assert read(f"b: '{text}'") == {"b": text}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT + "task: labels\n", "line 8: the key 'task' is given twice"),
        (TEXT + "  updates: 2\n", "line 8: the key 'updates' is given twice"),
        (TEXT.replace("batch: 2", "batch: 2, batch: 1"), "line 5: the key 'batch' is given twice"),
        (TEXT.replace("updates: 1, b", "'updates': 1, updates: 3, b"), "the key 'updates' is given twice"),
        ("a: [{b: 1, b: 2}]", "the key 'b' is given twice"),
        ("a: {0: 1, '0': 2}", "the key '0' is given twice"),
        ("a: &a {b: 1}\nc: {<<: *a}", "line 2: the merge key"),
        ("a: !!int '0x1F'", "YAML tags are not allowed"),
        ("a: !!set {b}", "YAML tags are not allowed"),
        ("yes: 1", "a key must be text"),
        ("? [a]\n: 1", "a key must be text"),
        ("a: &a [*a]", "inside its own value"),
        ("a: 1\n---\nb: 2", "single document"),
        ("a: *b", "undefined alias"),
        ("a: " + "9" * 5000, "at most 40 digits"),
        ("a: 1e999", "a number must be finite"),
        ('name: "a\\0b"', "no control characters"),
        ('about: "\\e[31m"', "no control characters"),
        ('about: "\\ud800"', "no control characters"),
        ("a: \x01", "must be YAML"),
        ("- 1", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_yaml_that_recipes_must_not_use_is_refused_in_one_line(text: str, words: str) -> None:
    assert words in refused(text)


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
        "a: " + "[" * (LARGEST_FILE // 2),
        "a: " + "{a: " * (LARGEST_FILE // 5),
        "".join(f"{' ' * depth}a:\n" for depth in range(600)),
        "a: [" + "1," * (LARGEST_FILE // 2 - 5) + "1]",
        "".join(f"k{n}: 1\n" for n in range(25_000)),
        "a: " + "x" * LARGEST_FILE,
        "a: '" + "x" * (LARGEST_FILE - 4),
    ],
    ids=["aliases", "lists", "mappings", "indented", "values", "keys", "size", "endless text"],
)
def test_bombs_are_refused_at_once(bomb: str) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)  # the work in calls, which is the same on every machine, however busy it is
    try:
        refused(bomb)
    finally:
        sys.setprofile(None)
    assert calls < 2_000_000


def test_a_large_file_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RecipeError, match="at most 262,144 bytes"):
        load(str(tmp_path / "big.yaml"))


def test_anchors_are_read_as_their_values() -> None:
    text = TEXT.replace("batch: 2}", "batch: &batch 2}").replace("  updates: 1", "  updates: 1\n  batch: *batch")
    assert Recipe.parse(text, "small").finetune.batch == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("macs: 1/2", "macs: true", "budget.macs: must be a positive whole number"),
        ("macs: 1/2", "macs: 0.5", "write 1/2 or 50%"),
        ("macs: 1/2", "macs: 0.123", "write 12.3%"),
        ("macs: 1/2", "params: 0.25", "write 1/4 or 25%"),
        ("macs: 1/2", "macs: 1_000", "digits only"),
        ("macs: 1/2", "macs: 1/1_0", "share of the original"),
        ("macs: 1/2", "latency_ms: true", "budget.latency_ms: must be a number"),
        ("batch: 2", "batch: yes", "teach.batch: must be a whole number; got true"),
        ("batch: 2", "batch: '2'", "teach.batch: must be a whole number; got '2'; write it with digits only"),
        ("batch: 2", "batch: 2_0", "digits only"),
        ("batch: 2", "batch: 2.5", "must be a whole number"),
        ("batch: 2", "batch: 2024-01-01", "must be a whole number"),
        ("batch: 2", "rate: on", "teach.rate: must be a number; got true"),
        ("batch: 2", "betas: [true, 0.9]", "teach.betas.0: must be a number"),
        ("batch: 2", "betas: [0.9]", "teach.betas: must be a longer list; got [0.9]"),
        ("batch: 2", "batch: [2]", "must be a whole number"),
        ("batch: 2", "batch: 1e15", "teach.batch: must be at most"),
        ("direction: AtoB", "flip: 1", "data.flip: must be true or false; got 1"),
        ("direction: AtoB", "direction: off", "data.direction: must be 'AtoB' or 'BtoA'; got false"),
        ("direction: AtoB", "licence: 7", "data.licence: must be text; got 7; put it in quotes"),
        ("task: paired", "task: 5", "task: must be text"),
        ("finetune:", "about: no\nfinetune:", "about: must be text; got false; put it in quotes"),
        ("finetune:", "seed: -1\nfinetune:", "seed: must be at least 0"),
        ("finetune:", "seed: 4294967296\nfinetune:", "seed: must be below 4294967296"),
        ("finetune:", "seed: 99999999999999999999\nfinetune:", "seed: must be below 4294967296"),
        (
            "finetune:",
            "search: {population: 9000000000000000000}\nfinetune:",
            "search: population: a whole number must be at most 10^15",
        ),
        ("finetune:", "name: ../escaped\nfinetune:", "name: must be a plain name"),
        ("batch: 2", "generator: [1]", "teach.generator: must be a mapping; got [1]"),
        ("teach: {updates: 1, batch: 2}", "teach: 5", "teach: must be a section of keys; got 5"),
    ],
)
def test_values_must_have_the_right_type(old: str, new: str, words: str) -> None:
    assert words in refused(TEXT.replace(old, new))


def test_counts_may_have_an_exponent() -> None:
    assert changed("macs: 1/2", "macs: 3e6").budget.macs == 3_000_000
    assert changed("macs: 1/2", "params: 1.2e5").budget.params == 120_000
    assert changed("updates: 1, batch", "updates: 1e5, batch").teach.updates == 100_000
    assert changed("task", "seed: 4294967295\ntask").seed == 2**32 - 1
    assert (
        Recipe.from_values({**changed("task", "task").model_dump(mode="json"), "budget": {"macs": 3e6}}).budget.macs
        == 3e6
    )


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "a ",
            "../up",
            "a/b",
            "a\\b",
            "/etc",
            "..",
            ".",
            ".hidden",
            "-rf",
            "~root",
            "a\nb",
            "a\tb",
            "a:b",
            "a*",
        ),
        *("nul", "CON.txt", "lpt1", "dots.", "é" * 61, "x" * 121, "a\u202eb", "a\u2028b"),
    ],
)
def test_a_name_is_no_path_and_can_be_a_folder_anywhere(name: str) -> None:
    with pytest.raises(RecipeError, match="plain name"):
        require_name(name)


@pytest.mark.parametrize("name", ["a", "2024-01-01", "my recipe (2)", "größe", "数据", "v1.2", "x" * 120, "console"])
def test_ordinary_names_are_names(name: str) -> None:
    assert require_name(name) == name


def test_settings_are_read_as_strictly_as_files() -> None:
    recipe = changed("task", "task")
    assert recipe.override(["budget.macs=3e6"]).budget.macs == 3_000_000
    for setting in ("seed=032", "seed=1:04", "teach.batch=yes", "budget={macs: 1, macs: 2}", "name=a/b", "seed=0x1"):
        with pytest.raises(RecipeError):
            recipe.override([setting])


def test_a_key_of_a_file_of_many_is_read_as_strictly(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    inner = "".join(f"    {line}\n" for line in TEXT.splitlines())
    file.write_text(f"recipes:\n  small:\n{inner}")
    assert load(f"{file}#recipes.small").name == "small"
    file.write_text(f"recipes:\n  small:\n{inner}    task: labels\n")
    with pytest.raises(RecipeError, match="'task' is given twice"):
        load(f"{file}#recipes.small")


@pytest.mark.parametrize("name", ["a#b", "what?", "100%", "a b", "#", "é"])
def test_a_path_may_have_any_character(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "r.yaml").write_text(TEXT)
    assert load(f"{tmp_path / name}/r.yaml").name == "r"
    (tmp_path / name / "p#q.yaml").write_text("recipes: {one: {task: paired, method: m, teach: {}, finetune: {}}}")
    with pytest.raises(RecipeError, match="exactly one of"):
        load(f"{tmp_path / name}/p#q.yaml#recipes.one")
    with pytest.raises(RecipeError, match=r"no key 'recipes\.two'"):
        load(f"{tmp_path / name}/p#q.yaml#recipes.two")


@pytest.mark.parametrize("reference", ["x" * 5000, "", "#", "##", "no\0thing", "/", "nothing.yaml#a"])
def test_a_path_without_a_file_is_no_recipe(reference: str) -> None:
    with pytest.raises(RecipeError, match=r"neither a preset nor a YAML file|no such file"):
        load(reference)


def test_a_file_that_is_no_text_or_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"task: \xff\xfe")
    with pytest.raises(RecipeError, match="in UTF-8"):
        load(str(tmp_path / "r.yaml"))
