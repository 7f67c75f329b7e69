"""The container image that every component runs on, named in this one place."""

import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path


def image() -> str:
    """The image's name: `SLIMGEN_IMAGE` where it is set, else `slimgen:<version>-<git revision>`.

    Kubeflow's cache key holds the image's name and not its content, so the tag must change whenever the code does:
    it carries the version, the revision, and `dirty` while there are uncommitted changes.
    """
    given = os.environ.get("SLIMGEN_IMAGE", "").strip()
    return given or f"slimgen:{tag(version('slimgen'), revision(Path(__file__).parent))}"


def tag(release: str, commit: str) -> str:
    """A valid image tag of a version and a revision (either may hold characters that a tag may not)."""
    return re.sub(r"[^\w.-]", "_", "-".join(part for part in (release, commit) if part))[:128]


def revision(folder: Path) -> str:
    """The git revision that a folder is checked out at, ending in `-dirty` if changed; empty without git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def unversioned() -> str:
    """What must be known where there is no git, as in a copy or an installed package; empty where there is."""
    if os.environ.get("SLIMGEN_IMAGE", "").strip() or revision(Path(__file__).parent):
        return ""
    return (
        f"note: without git, the image is called {image()} whatever its code, and Kubeflow's cache takes changed code "
        "for the same; set SLIMGEN_IMAGE to a name that changes with it"
    )


IMAGE = image()

if __name__ == "__main__":
    print(IMAGE)
