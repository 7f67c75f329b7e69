"""The number of slimgen's stack frames between a command and its purpose.

`python -m benchmarks.hops` runs the tests' tiny recipe in this process and prints, by name, the frames from
`slimgen supernet ...` to the first forward pass of a generator of CF-GAN's supernet, and from `slimgen search ...` to
the scorer of the first candidate's images. It exits with status 1 where there are more than a reader should have to
follow: 12 and 15, both ends included. Comprehensions are not counted, as they are not calls.
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from types import CodeType, FrameType

from slimgen.cli import main as command
from slimgen.metrics.scorers import ImageScorer
from slimgen.nets.cf_gan.trellis import TrellisGenerator

ROOT = Path(__file__).resolve().parents[1]
LIBRARY, RECIPE = ROOT / "core" / "slimgen", ROOT / "tests" / "stages" / "tiny.yaml"
IMAGES = ["--train", "12", "--test", "3", "--size", "32"]
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
ENDS = {
    "supernet": (TrellisGenerator.forward.__code__, 12),
    "search": (ImageScorer.see.__code__, 15),
}
"""Stage to the code where its frames end, and the most frames allowed."""


def main() -> None:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        images, run = Path(folder) / "images", Path(folder) / "run"
        slimgen("data", "townhouses", str(images), *IMAGES)
        slimgen("run", str(RECIPE), "--data", str(images), "--out", str(run), "--until", "teach")
        reads = {"supernet": ("prepare", "teach"), "search": ("prepare", "teach", "supernet")}
        for stage, (end, most) in ENDS.items():
            folders = [word for name in reads[stage] for word in (f"--{name}", str(run / name))]
            words = [stage, "--recipe", str(RECIPE), *folders, "--out", str(run / stage)]
            frames = frames_to(end, words)
            print(f"{stage}: {len(frames)} frames, at most {most}")
            print("\n".join(f"  {number:2} {name}" for number, name in enumerate(frames, 1)))
            failed |= not 0 < len(frames) <= most
    sys.exit(int(failed))


def slimgen(*words: str) -> None:
    """Run a slimgen command in this process, without output.

    Raises:
        SystemExit: the command failed.
    """
    said, before = io.StringIO(), sys.argv
    sys.argv = ["slimgen", *words]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command()
    except SystemExit as done:
        if done.code:
            sys.exit(said.getvalue())
    finally:
        sys.argv = before


def frames_to(end: CodeType, words: list[str]) -> list[str]:
    """Return the library's frames, outermost first, when a command first enters this code."""
    found: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or frame.f_code is not end:
            return
        sys.setprofile(None)
        at: FrameType | None = frame
        while at is not None:
            code = at.f_code
            if Path(code.co_filename).is_relative_to(LIBRARY) and code.co_name not in COMPREHENSIONS:
                module = Path(code.co_filename).relative_to(LIBRARY).with_suffix("")
                found.append(f"{'.'.join(module.parts)} {code.co_qualname}")
            at = at.f_back
        found.reverse()

    sys.setprofile(note)
    try:
        slimgen(*words)
    finally:
        sys.setprofile(None)
    return found


if __name__ == "__main__":
    main()
