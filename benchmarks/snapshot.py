"""A check that an edit changed no result: genotypes, trials, every array of weights and ONNX outputs of small runs.

`python -m benchmarks.snapshot --out RUNS` runs every method's tiny recipe, and with `--townhouses` the two recipes of
`make run`, then writes RUNS/snapshot.json. `--against FILE` compares it with a snapshot from before the edit, and exits
with status 1 where something differs. Bits are only equal on the same machine, with the same versions and threads.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
TINY = {
    "cf_gan": ("stages/tiny.yaml", ["--train", "12", "--test", "3", "--size", "32"]),
    "gan_compression": ("methods/tiny_gan_compression.yaml", ["--train", "12", "--test", "3", "--size", "32"]),
    "gaugan": ("methods/tiny_gaugan.yaml", ["--train", "12", "--test", "2", "--size", "64", "--layout", "labels"]),
    "co_evolution": (
        "methods/tiny_co_evolution.yaml",
        ["--train", "9", "--night", "7", "--test", "3", "--size", "32", "--layout", "unpaired"],
    ),
    "cyclegan_nas": (
        "methods/tiny_cyclegan_nas.yaml",
        ["--train", "12", "--night", "10", "--test", "3", "--size", "32", "--layout", "unpaired"],
    ),
    "alphagan": (
        "methods/tiny_alphagan.yaml",
        ["--train", "20", "--test", "4", "--size", "32", "--layout", "images"],
    ),
}
"""Recipe below tests/ to the townhouses that it runs on."""
TOWNHOUSES = ("townhouses-cf_gan", "townhouses-gan_compression")
RENAMED = (
    (r"by_hand", "narrowed"),
    (r"uniform", "narrowed"),
    (r"\bforth\b", "forward"),
    (r"\bback_|_back\b|\bback\b", "reverse"),
    (r"reverse_|_reverse", "reverse"),
)
"""Names that changed while the results did not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="data of the townhouses recipes")
    parser.add_argument("--townhouses", nargs="*", choices=TOWNHOUSES, default=[])
    parser.add_argument("--tiny", nargs="*", choices=TINY, default=list(TINY))
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    taken: dict[str, Any] = {}
    for name in arguments.tiny:
        recipe, drawn = TINY[name]
        images = arguments.out / "images" / name
        if not images.exists():
            slimgen("data", "townhouses", str(images), *drawn)
        settings = feature_network(arguments.out) if name == "alphagan" else []
        run = arguments.out / "tiny" / name
        slimgen("run", str(TESTS / recipe), "--data", str(images), "--out", str(run), *settings)
        taken[f"tiny {name}"] = snapshot(run)
    for name in arguments.townhouses:
        run = arguments.out / "townhouses" / name
        slimgen("run", name, "--data", str(arguments.data), "--out", str(run), "--set", "compute.threads=1")
        taken[name] = snapshot(run)
    (arguments.out / "snapshot.json").write_text(json.dumps(taken, indent=1) + "\n")
    if arguments.against is not None:
        before = json.loads(arguments.against.read_text())
        told = [line for name in taken if name in before for line in differences(name, before[name], taken[name])]
        print("\n".join(told) or f"{len(taken)} runs: every genotype, trial, array and output is unchanged")
        sys.exit(bool(told))


def slimgen(*words: str) -> None:
    """Run the command in its own process."""
    subprocess.run([sys.executable, "-m", "slimgen", *words], check=True)


def feature_network(out: Path) -> list[str]:
    """Write a feature network with one layer, and return the settings that use it."""
    path = out / "tiny.pt"
    if not path.exists():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 3, 5, stride=3), nn.ReLU())
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), path)
    features = f"evaluate.features={{tiny: {{path: {path}}}}}"
    return ["--set", features, "--set", "evaluate.metrics=['fd:tiny']"]


def snapshot(run: Path) -> dict[str, Any]:
    """Return a run's results as names and digests.

    Args:
        run: the folder of a finished run.
    """
    found = json.loads((run / "search" / "genotype.json").read_text())
    trials = [json.loads(line) for line in (run / "search" / "trials.jsonl").read_text().splitlines()]
    weights = {
        f"{file.relative_to(run).as_posix()} {name}": sha256(tensor.contiguous().view(-1).view(torch.uint8).numpy())
        for file in sorted(run.glob("*/*.safetensors"))
        for name, tensor in load_file(file).items()
    }
    with np.load(run / "evaluate" / "samples.npz") as samples:
        given = samples["input"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(run / "export" / "generator.onnx", options)
    outputs = session.run(None, {session.get_inputs()[0].name: given})
    table = json.loads((run / "evaluate" / "table.json").read_text())
    return {
        "genotype": found["genotype"],
        "trials": [[trial[key] for key in ("step", "round", "key", "costs", "quality")] for trial in trials],
        "weights": weights,
        "onnx": [sha256(output) for output in outputs],
        "metrics": {row["name"]: row["metrics"] for row in table["rows"]},
    }


def sha256(values: np.ndarray) -> str:
    """Return the digest of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def differences(name: str, before: Any, after: Any) -> list[str]:
    """Return the differences, one line each."""
    told = []
    for part in before:
        old, new = (json.loads(renamed(json.dumps(value[part], sort_keys=True))) for value in (before, after))
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            told.append(f"{name}: {part} differ in {len(keys)} of {len(old)}: {', '.join(keys[:3])}")
        elif isinstance(old, list) and isinstance(new, list):
            first = next(
                (i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
            )
            told.append(f"{name}: {part} differ from number {first} on ({len(old)} before, {len(new)} now)")
        else:
            told.append(f"{name}: {part} differ")
    return told


def renamed(text: str) -> str:
    """Return the text with the current names."""
    for old, new in RENAMED:
        text = re.sub(old, new, text)
    return text


if __name__ == "__main__":
    main()
