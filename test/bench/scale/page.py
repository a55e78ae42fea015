"""page.py - docs/scale.md and its plots, out of the results."""

from harness.process import ROOT

import pages
import plots
from scale import cases, predict

DOCS = ROOT / "docs"
COMMAND = 'make bench-scale SCALE="--page"'
SHOWN = ("pods that got their secrets", "last pod after, s", "wait of a new pod, p50, s", "wait of a new pod, longest, s",
         "mounts that failed and were repeated", "vault requests", "refused (429)", "most requests in a minute", "most 429 in a minute",
         "rotation checks", "rotation checks that failed", "time between two checks, p50, s", "time between two checks, longest, s",
         "fairness between classes")


def real_part(store):
    machine = store["machine"]
    yield (f"{machine['date']}, {machine['cores']} cores, Linux {machine['linux']}: one response takes {machine['response_s'] * 1000:.1f} ms, and "
           f"emulator and providers serve {machine['capacity']:,.0f} requests a second together. Both are measured before the cases and given to the model.")
    for entry in store["results"].values():
        program = "Go provider" if entry["provider"] == "go" else "this provider"
        faster = f", {entry['speed']} times accelerated" if entry["speed"] > 1 else ""
        yield ""
        yield f"**{entry['title'][0].upper()}{entry['title'][1:]}**: {entry['nodes']} nodes, {entry['limit']:,} requests in {cases.WINDOW_S} s, {program}{faster}."
        yield ""
        rows = []
        for name in SHOWN:
            real, modelled = entry["real"].get(name), entry["model"].get(name)
            if real is None or (real == 0 and modelled == 0):
                continue
            rows.append((name, real, modelled, f"{(modelled - real) / real:+.0%}" if real else "–"))
        yield from pages.table(("", "real", "model", "difference"), rows)


def cold_part(predictions):
    go = {row["nodes"]: row["last pod after, s"] for row in predictions["go"]}
    rows = []
    for row in predictions["cold"]:
        modelled = go.get(row["nodes"]) if row["pods"] == 30 else None
        rows.append((f"{row['nodes']:,} x {row['pods']}", row["least_s"], row["last pod after, s"], row["wait of a new pod, p50, s"],
                     row["vault requests"], row["refused (429)"], row.get("without_s", "–"), row["go_least_s"], "–" if modelled is None else modelled))
    yield from pages.table(("nodes x pods", "least, s", "last pod, s", "p50, s", "requests", "429", "without what [follows](#while-a-vault-throttles), s",
                            "Go, at least, s", "Go, s"), rows)


def busy_part(predictions):
    names = ("pods that got their secrets", "wait of a new pod, p50, s", "wait of a new pod, p99, s", "wait of a new pod, longest, s",
             "mounts that failed and were repeated", "vault requests", "refused (429)")
    yield from pages.table(("", "without", "with"), [(name, predictions["busy_without"][name], predictions["busy"][name]) for name in names])


def two_digits(value):
    """Rounded down: the model is not more exact."""
    unit = 10 ** max(0, len(str(value)) - 2)
    return value // unit * unit


def carried_part(predictions):
    table = predictions["carried"]
    yield from pages.table(("rotation interval", *(f"{count} secrets on a node" for count in predict.DISTINCT)),
                           [(f"{int(interval) // 60} min", *(two_digits(entry["nodes"][str(count)]) for count in predict.DISTINCT)) for interval, entry in table.items()])


def edge_part(predictions):
    rows = [(f"{float(part):.0%}", entry["nodes"], entry["vault requests"], entry["refused (429)"], entry["rotation checks that failed"],
             entry["time between two checks, p50, s"], entry["time between two checks, longest, s"])
            for part, entry in predictions["edge"].items()]
    yield from pages.table(("of that number", "nodes", "requests", "429", "checks that failed", "between checks, p50, s", "longest, s"), rows)


def draw(store):
    predictions = store["predictions"]
    curves = []
    for pods, style in ((30, "o-"), (110, "s-")):
        rows = [row for row in predictions["cold"] if row["pods"] == pods]
        nodes = [row["nodes"] for row in rows]
        curves.append((f"{pods} pods a node", nodes, [row["last pod after, s"] for row in rows], style))
    rows = [row for row in predictions["cold"] if row["pods"] == 30]
    curves.append(("what the vault's limit allows", [row["nodes"] for row in rows], [max(1, row["least_s"]) for row in rows], "--"))
    curves.append(("Go provider, 30 pods a node", [row["nodes"] for row in predictions["go"]], [row["last pod after, s"] for row in predictions["go"]], "^-"))
    plots.lines(DOCS / "scale-cold.svg", "Cold start of a cluster on one vault", "nodes", "seconds until the last pod has its secrets", curves,
                log_x=True, log_y=True)
    entry = store["results"]["away"]
    curves = [(f"{which}", range(len(entry[f"{which}_minutes"])), [admitted for admitted, _ in entry[f"{which}_minutes"]], style)
              for which, style in (("real", "o-"), ("model", "--"))]
    plots.lines(DOCS / "scale-away.svg", "A vault that is away from minute 1 to 11", "minute", "requests that the vault took", curves)
    table = predictions["carried"]
    curves = [(f"{count} secrets on a node", [int(interval) / 60 for interval in table],
               [entry["nodes"][str(count)] for entry in table.values()], "o-") for count in predict.DISTINCT]
    plots.lines(DOCS / "scale-carried.svg", "Nodes that one vault carries", "rotation interval, minutes", "nodes", curves, log_x=True, log_y=True)


def write(store):
    predictions = store["predictions"]
    pages.fill(DOCS / "scale.md", {"real": real_part(store), "cold": cold_part(predictions), "carried": carried_part(predictions),
                                   "edge": edge_part(predictions), "busy": busy_part(predictions)})
    draw(store)
    print(f"docs/scale.md and its plots are written; the limit is {cases.VAULT_LIMIT:,} requests in {cases.WINDOW_S} s.")
