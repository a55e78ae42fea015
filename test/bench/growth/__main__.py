"""`make bench-growth`: what CPU, memory, latency and descriptors do when volumes, objects, values, classes and identities grow.

    python -m growth [--only volumes,objects] [--builds static] [--quick] [--store FILE]

--only     which growths
--builds   which builds of the programs: static, dynamic
--quick    a tenth of each size
--reuse    does not run what the store has already
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from growth import cases, cloud, node, report, run
from harness.process import ROOT


def note(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def machine(quick):
    return {"cores": os.cpu_count(), "linux": ".".join(platform.release().split(".")[:2]), "date": str(datetime.date.today()), "quick": quick,
            "load": os.getloadavg()[0]}


def measure(arguments, save, results):
    growths = [growth for growth in cases.GROWTHS if not arguments.only or growth.name in arguments.only.split(",")]
    with tempfile.TemporaryDirectory(prefix="sg", dir=os.environ.get("TEST_SCRATCH"), ignore_cleanup_errors=True) as directory:
        scratch = Path(directory)
        (scratch / "cloud").mkdir()
        emulator = cloud.Cloud(scratch / "cloud")
        nodes = {build: [node.Node(scratch / name, emulator, build) for name in (build, f"{build}-other")]
                 for build in arguments.builds.split(",")}
        try:
            for growth in growths:
                sizes = growth.quick if arguments.quick else growth.sizes
                entry = results.setdefault(growth.name, {})
                note(f"{growth.name}: classes and secrets")
                emulator.fill(growth, sizes)
                for variant in cases.VARIANTS:
                    if variant.build not in nodes or str(variant) in entry:
                        continue
                    note(f"{growth.name}: {variant}")
                    emulator.set_http(protocols=[cases.PROTOCOLS[variant.protocol]])
                    emulator.reset_counters()
                    entry[str(variant)] = run.run(*nodes[variant.build], growth, sizes, variant)
                    save()
                report.show(growth, entry)
        finally:
            for one in itertools.chain.from_iterable(nodes.values()):
                one.stop()
            emulator.kill()


def main():
    parser = argparse.ArgumentParser(prog="growth")
    parser.add_argument("--only")
    parser.add_argument("--builds", default=",".join(cases.BUILDS))
    parser.add_argument("--store", type=Path, default=ROOT / "build" / "bench-growth.json")
    for flag in ("--quick", "--reuse"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    store = json.loads(arguments.store.read_text()) if arguments.reuse and arguments.store.exists() else {"machine": machine(arguments.quick)}
    results = store.setdefault("results", {})
    measure(arguments, lambda: arguments.store.write_text(json.dumps(store, indent=1)), results)
    return 0 if report.good(results) else 1


if __name__ == "__main__":
    sys.exit(main())
