"""page.py - docs/growth.md and its plots, out of the results: python -m growth.page [STORE]"""

import json
import sys
from pathlib import Path

import pages
import plots
from growth import cases, report
from harness.process import ROOT

DOCS = ROOT / "docs"
COLOURS = {("static", "HTTP/2"): "C0", ("static", "HTTP/1.1"): "C1", ("dynamic", "HTTP/2"): "C2", ("dynamic", "HTTP/1.1"): "C3"}
STYLES = {"distinct": "o-", "shared": "s--"}


def variants(entry):
    """Those that were measured, in their order; the first is the one whose values the page has."""
    return [variant for variant in cases.VARIANTS if str(variant) in entry]


def label(figure):
    title, unit = cases.FIGURES[figure]
    return f"{title}, {unit}" if unit else title


def signed(value):
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00")


def machine_part(store):
    machine = store["machine"]
    yield (f"{machine['date']}, {machine['cores']} cores, Linux {machine['linux']}. "
           + (f"The machine was busy with other work (load {machine['load']:.0f} at the start)." if machine["load"] > 1 else "The machine was otherwise idle."))
    for build in cases.BUILDS:
        full, tenth, absent = [], [], []
        for growth in cases.GROWTHS:
            measured = [result["sizes"][-1] for name, result in store["results"].get(growth.name, {}).items() if name.startswith(f"{build}, ")]
            whole = len(measured) == len(cases.VARIANTS) // len(cases.BUILDS)
            (absent if not whole else full if min(measured) == growth.sizes[-1] else tenth).append(growth.name)
        yield ""
        yield f"The {build} build: " + "; ".join(f"{text} {', '.join(names)}" for text, names in (
            ("all sizes of", full), ("a tenth of the sizes of", tenth), ("not all variants of", absent)) if names) + "."


def orders_part(results):
    for growth in cases.GROWTHS:
        entry = results.get(growth.name)
        if not entry:
            continue
        shown = str(variants(entry)[0])
        orders, result = report.curves(entry), entry[shown]
        first, last = result["sizes"][0], result["sizes"][-1]
        rows = []
        for figure in cases.FIGURES:
            worst = max((orders[name][figure] for name in orders), key=lambda order: order.worst)
            of_this = orders[shown][figure]
            rows.append((label(figure), result["points"][0][figure], result["points"][-1][figure], f"{of_this.marginal:.2g}",
                         f"{signed(of_this.whole)} / {signed(of_this.upper)}", f"{signed(worst.whole)} / {signed(worst.upper)}", worst.word))
        yield f"**{growth.title}** ({shown})"
        yield ""
        yield f"![{growth.title}: each figure by number of {growth.unit}](growth-{growth.name}.svg)"
        yield ""
        yield from pages.table(("", f"at {first:,}", f"at {last:,}", f"one {growth.one} more", "exponent",
                                f"largest of all {len(entry)} variants", "order"), rows)
        yield ""


def each_part(results):
    rows = []
    for variant in variants(results["volumes"]):
        result = results["volumes"][str(variant)]
        first, last = report.each_cpu(result)
        latency = result["each"]["latency_ms"]
        rows.append((str(variant), result["sizes"][-1], f"{first:.2f}", f"{last:.2f}", f"{last / first:.0%}", f"{latency['first']:.2f}", f"{latency['last']:.2f}",
                     f"{latency['last'] / latency['first']:.0%}"))
    yield from pages.table(("", "many", "CPU, ms, with 10", "with many", "ratio", "latency, ms, with 10", "with many", "ratio"), rows)


def summary_part(results):
    bad = list(report.worse_than_linear(results))
    count = sum(len(entry) for entry in results.values()) * len(cases.FIGURES)
    if not bad:
        yield f"None of the {count} curves is worse than linear."
        return
    yield f"{len(bad)} of the {count} curves are worse than linear in this run:"
    yield ""
    yield from pages.table(("", "curve", "variant", "exponent"), [(growth, cases.FIGURES[figure][0], variant, f"{signed(order.whole)} / {signed(order.upper)}")
                                                                  for growth, figure, variant, order in bad], left=3)


def draw(results):
    for growth in cases.GROWTHS:
        entry = results.get(growth.name)
        if not entry:
            continue
        parts = [(label(figure), [(str(variant), entry[str(variant)]["sizes"], [point[figure] for point in entry[str(variant)]["points"]],
                                   COLOURS[variant.build, variant.protocol] + STYLES[variant.sharing]) for variant in variants(entry)])
                 for figure in cases.FIGURES]
        plots.panels(DOCS / f"growth-{growth.name}.svg", growth.title, growth.unit, parts)


def write(store):
    results = store["results"]
    pages.fill(DOCS / "growth.md", {"machine": machine_part(store), "summary": summary_part(results), "each": each_part(results),
                                    "orders": orders_part(results)})
    draw(results)
    print("docs/growth.md and its plots are written.")


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/bench-growth.json").read_text()))
