"""The recipe of docs/provider-azure-parameters.md for a vault that is not Azure's, typed in a fresh clone, with the emulator as that vault."""

import re
import subprocess

import pytest

from harness.process import BUILD, ROOT

pytestmark = pytest.mark.once
HEADING = "### A vault that is not Azure's\n"


def blocks(language):
    page = (ROOT / "docs/provider-azure-parameters.md").read_text()
    section = page.split(HEADING)[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def clone(scratch):
    """What is committed; the programs are built already."""
    made = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "clone", "--quiet", "--no-hardlinks", ROOT, scratch / "clone"], capture_output=True,
                          text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no repository to clone: {made.stderr.strip()[-200:]}")
    (scratch / "clone/build").mkdir()
    (scratch / "clone/build/release").symlink_to(BUILD)
    return scratch / "clone"


def test_the_recipe(clone, scratch):
    build, script = blocks("sh")
    assert build == "make programs emulator\n"
    typed = subprocess.run(["bash", "-euc", "trap 'kill $(jobs -p)' EXIT\n" + script], cwd=clone, capture_output=True, text=True, timeout=60, check=False,
                           stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)})
    assert typed.returncode == 0, typed.stdout + typed.stderr
    assert "secret1" in typed.stdout and "it works" in typed.stdout
