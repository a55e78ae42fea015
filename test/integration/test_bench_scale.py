"""`make bench-scale` in a short form: real providers behind a vault with a limit, and the model of them, so that neither rots."""

import os
import subprocess

import pytest

from harness.process import BUILD, ROOT
from harness.scratch import scratch_directory

PYTHON = ROOT / "build/bench/bin/python"
pytestmark = [pytest.mark.slow, pytest.mark.release_only,
              pytest.mark.skipif(not PYTHON.exists() or not (BUILD / "bin/cluster-load").exists(), reason="needs make deps-bench bench-program")]


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/test/bench:{ROOT}/test/integration:{ROOT}/test", "TEST_SCRATCH": str(scratch_directory()),
                   "GO_PROVIDER": ""}
    return subprocess.run([PYTHON, *arguments], env=environment, capture_output=True, text=True, timeout=150, check=False)


def scale(*arguments):
    return run("-m", "scale", "--short", *arguments)


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


# On one node, in a pause that ends after 10 s: rotation checks wait for a and b, then a pod for c, then a pod that is older joins b.
PAUSED_NODE = """
from scale import cases, model
cluster = model.Model(cases.Case("one", "", nodes=1, pods=1))
node, sent = cluster.nodes[0], []
cluster.service.get = lambda vault, done: sent.append(round(cluster.env.now, 3))
node.scopes[0].pause(0, 10, 0.6)
requests = {key: model.Request(node, 0, key, 60, first=key == "c", since=5) for key in "abc"}
for request in requests.values():
    request.send()
node.scopes[0].hurry(requests["b"], 4)
late = model.Request(node, 0, "d", 60, first=True, since=9.9)
cluster.after(9.9, late.send)
print(*(request.key for request in node.scopes[0].queue))
cluster.env.run(until=11)
print(*(key for key, request in requests.items() if request.sent is not None), *sent)
"""


def test_the_model_moves_a_request_that_a_new_pod_joins_and_spreads_late_ones_alike():
    done = run("-c", PAUSED_NODE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["b c a", "b 10.3"]


def test_the_predictions_are_made():
    done = scale("--cases", "none")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
