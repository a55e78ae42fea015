"""`make bench-growth`: the order that it sees in a curve, and the measurement in a short form, so that it does not rot."""

import json
import os
import subprocess
import sys

import pytest

from harness.process import BUILD, ROOT
from harness.scratch import scratch_directory

sys.path.insert(0, str(ROOT / "test/bench"))
from growth import fit, report  # noqa: E402  (after the path)

SIZES = (10, 20, 50, 100, 200, 500, 1000)


@pytest.mark.parametrize("curve, word", [
    (lambda x: 14, "constant"),
    (lambda x: 20 / x + 1, "constant"),
    (lambda x: x ** 0.5, "below linear"),
    (lambda x: 2000 + 3 * x, "below linear"),
    (lambda x: 0.7 * x, "linear"),
    (lambda x: 5 + 0.7 * x * (1.04 if x in (20, 200) else 0.97), "linear"),
    (lambda x: x ** 1.3, "worse than linear"),
    (lambda x: x * x, "worse than linear"),
    (lambda x: 50 + x + 0.002 * x * x, "worse than linear"),  # only the last decade shows it
])
def test_the_order_of_a_curve(curve, word):
    order = fit.order(SIZES, [curve(x) for x in SIZES])
    assert order.word == word, order
    assert order.worse_than_linear == (word == "worse than linear")


def test_the_marginal_cost_is_that_of_the_last_decade():
    order = fit.order(SIZES, [1000 + 3 * x for x in SIZES])
    assert order.marginal == pytest.approx(3)
    assert order.whole < order.upper < 1


def result(last_cpu):
    points = [{"driver_cpu_ms": x, "provider_cpu_ms": x, "latency_ms": 1, "driver_kib": 2000, "provider_kib": 2000, "driver_fds": 14, "provider_fds": 15}
              for x in SIZES]
    each = {"driver_cpu_ms": {"first": 0.7, "last": last_cpu}, "provider_cpu_ms": {"first": 0.3, "last": 0.3}, "latency_ms": {"first": 1, "last": 1}}
    return {"sizes": list(SIZES), "points": points, "each": each}


def test_a_mount_that_gets_dearer_is_reported(capsys):
    assert report.good({"volumes": {"static": result(0.75)}})
    assert "No curve is worse than linear" in capsys.readouterr().out
    assert not report.good({"volumes": {"static": result(0.85)}})
    assert "A mount costs 1.15 times as much with 1,000 volumes as with 10 (static)" in capsys.readouterr().out


def test_a_curve_that_is_worse_than_linear_is_reported(capsys):
    bad = result(0.7)
    for x, point in zip(SIZES, bad["points"]):
        point["driver_fds"] = x * x
    assert not report.good({"volumes": {"static": bad}})
    assert "Worse than linear: volumes, descriptors of the driver (static), exponents 2.00 and 2.00" in capsys.readouterr().out


def build_bench():
    """With the compiler of the programs, so that nothing else is built again."""
    compiler = (BUILD / ".flags").read_text().split()[0]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environment["CCACHE_DISABLE"] = "1"  # a cache of the user's is read-only here
    subprocess.run(["make", "-s", f"VARIANT={BUILD.name}", f"CC={compiler}", "bench-program"], cwd=ROOT, env=environment, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.release_only
def test_identities_are_measured():
    """A busy machine bends a curve now and then; what is worse than linear bends it each time."""
    build_bench()
    scratch = scratch_directory()
    store = scratch / "growth.json"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/test/bench:{ROOT}/test/integration", "TEST_SCRATCH": str(scratch)}
    for _ in range(3):
        done = subprocess.run([sys.executable, "-m", "growth", "--quick", "--only=identities", "--builds=dynamic", f"--store={store}"],
                              env=environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == 1, done.stdout + done.stderr[-3000:]
    assert done.returncode == 0, done.stdout
    measured = json.loads(store.read_text())["results"]["identities"]
    assert len(measured) == 4
    for one in measured.values():
        assert one["sizes"] == [1, 2, 5, 10, 20]
        assert all(point["driver_fds"] < 30 and point["provider_cpu_ms"] > 0 for point in one["points"])
