"""docs/quick-start.md without an Azure account, typed in a fresh clone: every command of its section, in order."""

import os
import re
import subprocess

import pytest

from harness.clone import clone_of
from harness.process import ROOT

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.geteuid() != 0, reason="the driver mounts")]
HEADING = "## Without an Azure account\n"


def test_every_command_of_the_quick_start(scratch):
    section = (ROOT / "docs/quick-start.md").read_text().split(HEADING)[1].split("\n## ")[0]
    build, *blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert build == "make programs emulator\n" and len(blocks) == 5
    rest = re.sub(r"^```sh\n.*?^```$", "", section, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"^    \S|^```", rest, re.MULTILINE)  # no command that is not typed here
    script = "".join(f"echo '== {number}'\n{block}" for number, block in enumerate(blocks))
    typed = subprocess.run(["bash", "-euc", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script], cwd=clone_of(scratch), capture_output=True, text=True,
                           timeout=60, check=False, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch), "HOME": "/nonexistent"})
    assert typed.returncode == 0, typed.stdout + typed.stderr
    parts = dict(re.findall(r"== (\d)\n(.*?)(?=== \d\n|\Z)", typed.stdout, re.DOTALL))
    assert sorted(parts) == ["0", "1", "2", "3", "4"]
    # cat prints no line feed behind a secret
    assert re.fullmatch(r"published.*\nvolume id.*\nhello from the vaulta new value", parts["2"].strip()), parts["2"]
    first, second = re.split(r"(?=^driver )", parts["3"], flags=re.MULTILINE)[1:]
    assert "wrong" not in first and re.search(r"^vault +ok", first, re.MULTILINE), first
    assert re.search(r"^token +wrong +.*AADSTS7000215", second, re.MULTILINE) and "docs/troubleshooting.md#identity" in second, second
    assert parts["4"].startswith("unpublished") and list(scratch.glob("tmp.*")) == []
