"""`make bench-scale`: the cases with real programs, the model of each beside it, then the model at sizes that no machine here bears.

    python -m scale [--cases cold,away] [--nodes 200] [--short] [--page] [--no-model]

--cases    which; small: the Go provider and ours on 20 nodes, with a tenth of the limit
--nodes    fewer nodes get a vault with a limit that is smaller by as much
--short    few nodes, accelerated: half a minute, for tests; the limits are scaled to match
--page     writes the numbers and plots into docs/scale.md
--reuse    does not run what build/bench-scale.json has already
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from harness.process import ROOT

from scale import cases, measure, model, predict, real

STORE = Path(os.environ.get("SCALE_STORE", ROOT / "build" / "bench-scale.json"))
# The error that the model may have at these figures of the real runs, in parts of the real value (or the given absolute value, if more).
CHECKED = {"last pod after, s": (0.15, 5), "wait of a new pod, p99, s": (0.15, 5), "vault requests": (0.1, 20), "refused (429)": (0.35, 60),
           "time between two checks, p50, s": (0.15, 5)}
REFUSED_SHARE = 0.01  # 429 may be off by so much of all requests: below the limit they come of bundled requests, which the model does not know
CALIBRATIONS = 3
SHORT_PATIENCE = 4  # few nodes differ more, and a busy machine counts thirty times


def note(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def calibrate(nodes, scratch):
    """The Machine: the time of one response, and requests a second of a cluster without limits: medians, because a busy machine is slow at times."""
    one = cases.Case("calibration", "", nodes=1, pods=1, classes=1, objects=1)
    many = one.with_(nodes=nodes, pods=20, classes=20, objects=5, spread_s=0)
    times, rates = [], []
    for number in range(CALIBRATIONS):
        times.append(max(0.001, real.run(one, scratch / f"one-{number}", unlimited=True).first[0] / 2))  # a token and a secret
        result = real.run(many, scratch / f"many-{number}", unlimited=True)
        rates.append(result.admitted / max(result.first_at))
    return model.Machine(statistics.median(times), statistics.median(rates))


def difference(name, measured, modelled, patience, requests):
    """(text, whether the model is near enough)."""
    if name not in CHECKED:
        return "", True
    part, absolute = CHECKED[name]
    absolute = max(absolute, REFUSED_SHARE * requests) if name == "refused (429)" else absolute
    off = abs(modelled - measured)
    good = off <= patience * max(part * measured, absolute)
    return (f"{(modelled - measured) / measured:+.0%}" if measured else "–") + ("" if good else " !"), good


def compare(case, measured, modelled):
    print(f"\n{case.name}: {case.title}; {case.nodes} nodes with {case.pods} pods, {case.classes} classes of {case.objects} secrets, "
          f"{case.vault_limit} requests in {cases.WINDOW_S} s" + (f", {case.speed} times accelerated" if case.speed > 1 else "")
          + ("" if case.provider == "ours" else ", Go provider"))
    print(f"  {'':42}{'real':>12}{'model':>12}{'difference':>13}")
    good = True
    for name, value in measured.items():
        text, near = difference(name, value, modelled[name], SHORT_PATIENCE if case.nodes < 10 else 1, measured["vault requests"])
        good = good and near
        print(f"  {name:42}{value:12,.1f}{modelled[name]:12,.1f}{text:>13}")
    return good


def run_case(case, machine, scratch, program=None):
    note(f"{case.name}: {case.nodes} nodes, {case.provider}")
    result = real.run(case, scratch / f"{case.name}-{case.provider}-{case.nodes}", program, port=443 if program else 0)
    modelled = measure.Result.of_model(model.Model(case, machine).run())
    return {"case": case.name, "title": case.title, "nodes": case.nodes, "limit": case.vault_limit, "speed": case.speed, "provider": case.provider,
            "real": result.summary(), "model": modelled.summary(), "real_minutes": result.minutes, "model_minutes": modelled.minutes,
            "memory_mib": result.memory_mib, "cpu_s": result.cpu_s}


def chosen(arguments):
    names = arguments.cases.split(",") if arguments.cases else [case.name for case in cases.CASES]
    for case in cases.CASES:
        if case.name in names:
            yield cases.short(case) if arguments.short else case.with_(
                nodes=arguments.nodes, share=case.share * arguments.nodes / case.nodes, speed=arguments.speed if case.warm or case.long else 1)


def main():
    parser = argparse.ArgumentParser(prog="scale")
    parser.add_argument("--cases")
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--speed", type=int, default=4)
    for flag in ("--short", "--page", "--reuse", "--no-model"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    store = json.loads(STORE.read_text()) if arguments.reuse and STORE.exists() else {}
    good = True

    def save():
        if not arguments.short:
            STORE.write_text(json.dumps(store, indent=1))

    with tempfile.TemporaryDirectory(prefix="sc", dir=os.environ.get("TEST_SCRATCH")) as directory:
        scratch = Path(directory)
        if "machine" not in store:
            note("calibration")
            machine = calibrate(4 if arguments.short else arguments.nodes, scratch)
            store["machine"] = {"response_s": machine.response_s, "capacity": machine.capacity, "cores": os.cpu_count(),
                                "linux": ".".join(platform.release().split(".")[:2]), "date": str(datetime.date.today())}
        machine = model.Machine(store["machine"]["response_s"], store["machine"]["capacity"])
        print(f"One response takes {machine.response_s * 1000:.1f} ms; emulator and providers serve {machine.capacity:,.0f} requests a second.")
        results = store.setdefault("results", {})
        for case in chosen(arguments):
            if case.name not in results:
                results[case.name] = run_case(case, machine, scratch)
                save()
            entry = results[case.name]
            good = compare(case, entry["real"], entry["model"]) and good
        go = os.environ.get("GO_PROVIDER")
        if go and not arguments.short and (not arguments.cases or "small" in arguments.cases.split(",")):
            case = cases.CASES[0].with_(nodes=20, provider="go", share=0.1)
            for provider, program in (("go", go), ("ours", None)):
                if f"small-{provider}" not in results:
                    results[f"small-{provider}"] = run_case(case.with_(provider=provider), machine, scratch, program)
                    save()
                entry = results[f"small-{provider}"]
                good = compare(case.with_(provider=provider), entry["real"], entry["model"]) and good
    save()
    if not arguments.no_model and "predictions" not in store:
        note("model")
        began = time.monotonic()
        store["predictions"] = predict.short() if arguments.short else predict.everything(note)
        note(f"model: {time.monotonic() - began:.0f} s")
        save()
    if arguments.page:
        from scale import page
        page.write(store)
    print("\nThe model is near the real runs." if good else "\nThe model is too far from a real run at the figures with '!'.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
