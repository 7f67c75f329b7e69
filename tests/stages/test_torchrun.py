import json
import os
import subprocess
import sys
from pathlib import Path

from slimgen.report.words import stopping
from slimgen.stages.table import STAGES
from townhouses import write

TINY = Path(__file__).parent / "tiny.yaml"


def test_two_processes_run_all_stages_into_one_folder(tmp_path: Path) -> None:
    write(tmp_path / "images", seed=0, train=12, test=3, size=32)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"),
        *("-m", "slimgen", "run", str(TINY), "--data", str(tmp_path / "images"), "--out", str(tmp_path / "run")),
        *("--set", "teach.patience=1", "--set", "teach.check_every=2"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for stage in STAGES:
        assert json.loads((tmp_path / "run" / stage / "stage.json").read_text())["finished"]
    lines = (tmp_path / "run" / "supernet" / "log-supernet.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [8]
    # Both processes counted the same steps, and only the first one wrote.
    updates = json.loads((tmp_path / "run" / "supernet" / "updates.json").read_text())
    assert sum(updates["generator"].values()) == 8
    # The original was measured by one of them for both, and the table says how its training ended.
    taught, table = (
        json.loads((tmp_path / "run" / name).read_text()) for name in ("teach/stage.json", "evaluate/table.json")
    )
    assert table["notes"] == [stopping(taught["metrics"])]
    assert table["rows"][0]["updates"] == taught["metrics"]["updates"] <= 6
    assert taught["settings"]["objective"]["metric"] == "psnr"
    assert table["notes"][0] in (tmp_path / "run" / "evaluate" / "report.html").read_text()
