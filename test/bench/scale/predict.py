"""predict.py - the model at sizes beyond one machine: the vault 20 ms away, and no limit but its own."""

from scale import cases, measure, model

FAR = model.Machine(response_s=0.02)
COLD_NODES = (100, 200, 500, 1000, 2000, 5000)
GO_NODES = (100, 200, 500, 1000)
MODELLED_NODES = 50  # in the place of so many more, with a limit that is smaller by as much: only the ratio counts
WITHOUT = model.Rules(False, False, False, False, False, False)
INTERVALS_S = (120, 300, 600, 1800, 3600)
DISTINCT = (10, 50, 100, 500)  # secrets that the pods of one node use
COLD, ROLLOUT, STEADY, AWAY, TENTH = cases.CASES[:5]


COUNTED = ("pods that got their secrets", "mounts that failed and were repeated", "vault requests", "refused (429)", "most requests in a minute",
           "most 429 in a minute", "token requests", "rotation checks", "rotation checks that failed")


def figures(case, rules=model.Rules()):
    """Of a model that has at most MODELLED_NODES and its part of the limit; counts are those of the whole."""
    factor = max(1, case.nodes / MODELLED_NODES)
    part = case.with_(nodes=round(case.nodes / factor), share=case.share / factor)
    summary = measure.Result.of_model(model.Model(part, FAR, rules).run()).summary()
    whole = {name: value * factor if name in COUNTED else value for name, value in summary.items()}
    return {"nodes": case.nodes, "pods": case.pods, "provider": case.provider, **whole}


def least_s(case):
    """No client can be done earlier: what all nodes need, at the limit of the vault."""
    return max(0, case.nodes * case.distinct_objects / cases.VAULT_LIMIT - 1) * cases.WINDOW_S


def go_requests(case):
    """What the Go provider sends at least: a challenge and every secret for every pod."""
    return case.total_pods * (case.objects + 1)


def cold_starts(note):
    rows = []
    for pods in (30, 110):
        for nodes in COLD_NODES:
            case = COLD.with_(nodes=nodes, pods=pods)
            note(f"model: cold start, {nodes} nodes with {pods} pods")
            row = {**figures(case), "least_s": least_s(case), "go_least_s": max(0, go_requests(case) / cases.VAULT_LIMIT - 1) * cases.WINDOW_S}
            if pods == 30 and nodes <= 1000:
                row["without_s"] = figures(case, WITHOUT)["last pod after, s"]
            rows.append(row)
    go = []
    for nodes in GO_NODES:
        note(f"model: cold start with the Go provider, {nodes} nodes")
        go.append(figures(COLD.with_(nodes=nodes, provider="go")))
    return rows, go


def request_rate(interval_s):
    """Requests a second of one distinct secret on one node, in the middle of a steady state."""
    case = STEADY.with_(nodes=4, interval_s=interval_s, seconds=10 * interval_s)
    result = measure.Result.of_model(model.Model(case, FAR).run())
    return result.admitted / case.seconds / case.nodes / case.distinct_objects


def carried(note):
    """{interval: {"rate", "nodes": {distinct secrets: nodes}}} and what happens a little below and above that number."""
    table = {}
    for interval in INTERVALS_S:
        rate = request_rate(interval)
        table[interval] = {"rate": rate, "nodes": {str(count): int(cases.VAULT_LIMIT / cases.WINDOW_S / rate / count) for count in DISTINCT}}
    edge = {}
    limit = table[120]["nodes"]["100"]
    for part in (0.5, 0.8, 1.0, 1.25, 2.0):
        note(f"model: rotation every two minutes with {part:.0%} of the nodes that the limit allows")
        edge[part] = figures(STEADY.with_(nodes=max(1, int(limit * part)), seconds=900))
    return table, edge


def everything(note):
    cold, go = cold_starts(note)
    table, edge = carried(note)
    note("model: a rollout while the vault gives a tenth")
    busy = TENTH.with_(nodes=200, new_pods=1, seconds=900)
    return {"cold": cold, "go": go, "carried": {str(interval): entry for interval, entry in table.items()},
            "edge": {str(part): value for part, value in edge.items()},
            "busy": figures(busy), "busy_without": figures(busy, WITHOUT)}


def short():
    """A little of each, for tests."""
    return {"cold": [figures(COLD.with_(nodes=100, pods=10))], "go": [figures(COLD.with_(nodes=100, pods=10, provider="go"))]}
