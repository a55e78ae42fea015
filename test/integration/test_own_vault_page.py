"""The recipe of docs/provider-azure-parameters.md for a vault that is not Azure's, typed in a fresh clone, with the emulator as that vault."""

import re
import subprocess

import pytest

from harness.clone import clone_of
from harness.process import ROOT

pytestmark = pytest.mark.once
HEADING = "### A vault that is not Azure's\n"


def blocks(language):
    page = (ROOT / "docs/provider-azure-parameters.md").read_text()
    section = page.split(HEADING)[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def test_the_recipe(scratch):
    build, script = blocks("sh")
    assert build == "make programs emulator\n"
    typed = subprocess.run(["bash", "-euc", "trap 'kill $(jobs -p)' EXIT\n" + script], cwd=clone_of(scratch), capture_output=True, text=True, timeout=60, check=False,
                           stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)})
    assert typed.returncode == 0, typed.stdout + typed.stderr
    assert "secret1" in typed.stdout and "it works" in typed.stdout
