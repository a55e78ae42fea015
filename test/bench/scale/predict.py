"""predict.py - the model at sizes beyond one machine: the vault 20 ms away, and no limit but its own."""

from scale import cases, measure, model

FAR = model.Machine(response_s=0.02)
COLD_NODES = (100, 200, 500, 1000, 2000, 5000)
GO_NODES = (100, 200, 500)
INTERVALS_S = (120, 300, 600, 1800, 3600)
DISTINCT = (10, 50, 100, 500)  # secrets that the pods of one node use
COLD, ROLLOUT, STEADY, AWAY, TENTH = cases.CASES


def figures(case, rules=model.Rules()):
    result = measure.Result.of_model(model.Model(case, FAR, rules).run())
    return {"nodes": case.nodes, "pods": case.pods, "provider": case.provider, **result.summary(), "minutes": result.minutes}


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
            rows.append({**figures(case), "least_s": least_s(case), "go_least_s": max(0, go_requests(case) / cases.VAULT_LIMIT - 1) * cases.WINDOW_S})
    go = []
    for nodes in GO_NODES:
        note(f"model: cold start with the Go provider, {nodes} nodes")
        go.append(figures(COLD.with_(nodes=nodes, provider="go")))
    return rows, go


def request_rate(interval_s):
    """Requests a second of one distinct secret on one node, in the middle of a steady state."""
    case = STEADY.with_(nodes=20, interval_s=interval_s, seconds=10 * interval_s)
    result = measure.Result.of_model(model.Model(case, FAR).run())
    return result.admitted / case.seconds / case.nodes / case.distinct_objects


def carried(note):
    """{interval: {"rate", "nodes": {distinct secrets: nodes}}} and what happens a little below and above that number."""
    table = {}
    for interval in INTERVALS_S:
        rate = request_rate(interval)
        table[interval] = {"rate": rate, "nodes": {count: int(cases.VAULT_LIMIT / cases.WINDOW_S / rate / count) for count in DISTINCT}}
    edge = {}
    limit = table[120]["nodes"][100]
    for part in (0.5, 0.8, 1.0, 1.25, 2.0):
        note(f"model: rotation every two minutes with {part:.0%} of the nodes that the limit allows")
        edge[part] = figures(STEADY.with_(nodes=max(1, int(limit * part)), seconds=900))
    return table, edge


def everything(note):
    cold, go = cold_starts(note)
    table, edge = carried(note)
    note("model: 500 nodes and a vault that is away or throttles")
    return {"cold": cold, "go": go, "carried": table, "edge": {str(part): value for part, value in edge.items()},
            "away": figures(AWAY.with_(nodes=500)), "tenth": figures(TENTH.with_(nodes=200, new_pods=1)),
            "rollout": figures(ROLLOUT.with_(nodes=500))}


def short():
    """A little of each, for tests."""
    return {"cold": [figures(cases.short(COLD))], "go": [figures(cases.short(COLD).with_(provider="go"))], "rate": request_rate(120)}
