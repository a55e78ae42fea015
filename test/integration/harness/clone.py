"""A clone of what is committed, with the programs of this build: for the pages that begin in a checkout."""

import subprocess

import pytest

from harness.process import BUILD, ROOT


def clone_of(directory):
    """Made below `directory`; skips the test where there is no repository."""
    made = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "clone", "--quiet", "--no-hardlinks", ROOT, directory / "clone"], capture_output=True,
                          text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no repository to clone: {made.stderr.strip()[-200:]}")
    (directory / "clone/build").mkdir()
    (directory / "clone/build/release").symlink_to(BUILD)
    return directory / "clone"
