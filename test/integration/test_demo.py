"""The demonstrations run to their ends and show what they are for; `make demo` and `make demo-outage` call the same scripts."""

import os
import subprocess

import pytest

from harness.process import BUILD, ROOT

pytestmark = pytest.mark.once


def demonstrate(script):
    done = subprocess.run(["bash", ROOT / "test/demo" / script], env={**os.environ, "BUILD": str(BUILD)}, cwd="/", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150, check=False)
    assert done.returncode == 0, done.stdout
    assert "That was all." in done.stdout
    return done.stdout


def test_the_whole_path():
    assert "no mount, no directory" in demonstrate("demo.sh")


def test_pods_that_start_while_the_vault_is_away():
    text = demonstrate("outage.sh")
    for shown in ("@contosowest.vault.localhost", "serving the value that was kept", "the provider warns", "kept/secret/secret1", "given to the next process", "HTTP 403",
                  "the first pod: secret1 is 'a new value'"):
        assert shown in text, text
