"""`make bench-scale` in a short form: real providers behind a vault with a limit, and the model of them, so that neither rots."""

import os
import subprocess

import pytest

from harness.process import BUILD, ROOT
from harness.scratch import scratch_directory

PYTHON = ROOT / "build/bench/bin/python"
pytestmark = [pytest.mark.slow, pytest.mark.release_only,
              pytest.mark.skipif(not PYTHON.exists() or not (BUILD / "bin/cluster-load").exists(), reason="needs make deps-bench bench-program")]


def scale(*arguments):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/test/bench:{ROOT}/test/integration:{ROOT}/test", "TEST_SCRATCH": str(scratch_directory()),
                   "GO_PROVIDER": ""}
    return subprocess.run([PYTHON, "-m", "scale", "--short", *arguments], env=environment, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.parametrize("case", ["cold", "rollout"])
def test_the_model_is_near_real_providers(case):
    done = scale("--cases", case, "--no-model")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "The model is near the real runs." in done.stdout
    figures = {line[2:44].strip(): line[44:].split() for line in done.stdout.splitlines() if line.startswith("  ")}
    pods = {"cold": 40, "rollout": 4}[case]
    assert [float(value) for value in figures["pods that got their secrets"][:2]] == [pods, pods]
    if case == "cold":  # four nodes need 80 requests; the limit is 40 within half a second
        assert all(float(value.replace(",", "")) > 0 for value in figures["refused (429)"][:2])


def test_the_predictions_are_made():
    done = scale("--cases", "none")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
