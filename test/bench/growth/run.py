"""run.py - measures one growth in one variant: the figures at each size."""

from growth import cases
from growth.fit import median

ROUNDS = 3
FEW = 10  # volumes that are mounted when the first ones are measured
PROBES, PROBE_ROUNDS, COMPARED_ROUNDS = 50, 5, 15  # volumes of a round, and rounds


def medians(rounds):
    return {name: median([figures[name] for figures in rounds]) for name in rounds[0]}


def _class(name, sharing):
    """The class of the volumes, and the flags with which each has one of its own."""
    return (f"{name}-distinct", ["--class-per-volume"]) if sharing == "distinct" else (f"{name}-shared", [])


def _each(figures, volumes):
    """CPU of one volume."""
    return {name: value / volumes if name.endswith("_cpu_ms") else value for name, value in figures.items()}


def _contents(node, name, objects, sharing):
    """The figures of one volume with these contents, published and removed."""
    class_name, flags = _class(name, sharing)
    volumes = cases.volumes_of(objects)
    rounds = []
    for _ in range(ROUNDS):
        node.start()
        node.mount_and_remove(class_name, 1, *flags)  # token and connection
        rounds.append(_each(node.mount_and_remove(class_name, volumes, *flags), volumes))
    return medians(rounds)


def _many(node, class_name, size, *flags):
    """The figures of all volumes of programs that have just started."""
    rounds = []
    for _ in range(ROUNDS):
        node.start()
        rounds.append(node.mount_and_remove(class_name, size, *flags))
    return medians(rounds)


def _probe(node, class_name, flags):
    """The figures of one more volume, published and removed."""
    return _each(node.mount_and_remove(class_name, PROBES, *flags), PROBES)


def _probes(node, class_name, flags):
    """A median, because a busy machine delays some."""
    return medians([_probe(node, class_name, flags) for _ in range(PROBE_ROUNDS)])


def _compare(few, many, class_name, flags):
    """The figures of one more volume on either node, by turns: the machine is as fast for the one as for the other."""
    rounds = [(_probe(few, class_name, flags), _probe(many, class_name, flags)) for _ in range(COMPARED_ROUNDS)]
    first, last = (medians(list(of_node)) for of_node in zip(*rounds))
    return {name: {"first": first[name], "last": last[name]} for name in ("driver_cpu_ms", "provider_cpu_ms", "latency_ms")}


def _volumes(node, other, sizes, sharing, label):
    """(points, each): figures with so many volumes mounted, and those of one volume among the last ones and, on the other node, among the
    first ones."""
    class_name, flags = _class("volumes", sharing)
    probe_flags = [*flags, "--first=0"]
    cpu = ("driver_cpu_ms", "provider_cpu_ms")
    for one in (other, node):
        one.start()
        few = one.mount(class_name, FEW, *flags, prefix=label)
        _probes(one, class_name, probe_flags)  # what is allocated once is allocated now
    used, mounted, points = {name: few[name] for name in cpu}, FEW, []
    for size in sizes:
        kept = node.sizes()
        if size > mounted:
            kept = node.mount(class_name, size - mounted, *flags, f"--first={mounted}", prefix=label)
            used = {name: used[name] + kept[name] for name in cpu}
            mounted = size
        points.append({**kept, **used, "latency_ms": _probes(node, class_name, probe_flags)["latency_ms"]})
        _probes(other, class_name, probe_flags)  # both are to have done the same
    each = _compare(other, node, class_name, probe_flags)
    for one, count in ((node, mounted), (other, FEW)):
        one.remove(class_name, count, prefix=label)
    return points, each


def run(node, other, growth, sizes, variant):
    """{"sizes", "points"}, and "each" for volumes. `other`: a node of the same build."""
    result = {"sizes": list(sizes)}
    if growth.name == "volumes":
        result["points"], result["each"] = _volumes(node, other, sizes, variant.sharing, f"kept-{variant.protocol[5:]}-{variant.sharing}")
    elif growth.name == "objects":
        result["points"] = [_contents(node, f"objects{size}", size, variant.sharing) for size in sizes]
    elif growth.name == "value":
        result["points"] = [_contents(node, f"value{size}", cases.VALUE_OBJECTS, variant.sharing) for size in sizes]
    elif growth.name == "classes":
        result["points"] = [_many(node, f"classes-{variant.sharing}", size, "--class-per-volume") for size in sizes]
    else:
        class_name, flags = _class("identities", variant.sharing)
        result["points"] = [_many(node, class_name, size, *flags, "--identity-per-volume") for size in sizes]
    node.stop()
    other.stop()
    return result
