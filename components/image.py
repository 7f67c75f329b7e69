"""Name of the container image that every component runs on."""

import os
import re
import subprocess
from pathlib import Path

from slimgen import __version__

DIRTY = (
    "note: there are uncommitted changes, and every such state has the same image name, {name}: Kubeflow's cache does "
    "not notice further changes; commit them, or set SLIMGEN_IMAGE"
)


def image() -> str:
    """Return the image's name: `SLIMGEN_IMAGE` where it is set, else `slimgen:<version>-<git revision>`.

    Kubeflow's cache key contains the image's name and not its content, so the tag must change with the code: it
    consists of the version, the revision, and `dirty` while there are uncommitted changes.
    """
    given = os.environ.get("SLIMGEN_IMAGE", "").strip()
    return given or f"slimgen:{tag(__version__, revision(Path(__file__).parent))}"


def tag(release: str, commit: str) -> str:
    """Return a valid image tag for a version and a revision; characters that a tag must not have become `_`."""
    return re.sub(r"[^\w.-]", "_", "-".join(part for part in (release, commit) if part))[:128]


def revision(folder: Path) -> str:
    """Return the git revision of a checkout, with `-dirty` at its end if files are changed; empty without git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def unversioned() -> str:
    """Return a note for code that its image's name does not identify: outside of git, or changed since its revision."""
    if os.environ.get("SLIMGEN_IMAGE", "").strip():
        return ""
    if commit := revision(Path(__file__).parent):
        return DIRTY.format(name=image()) if commit.endswith("-dirty") else ""
    return (
        f"note: without git, the image's name is always {image()}, so Kubeflow's cache does not notice changed code; "
        "set SLIMGEN_IMAGE to a name that changes with the code"
    )


IMAGE = image()

if __name__ == "__main__":
    print(IMAGE)
