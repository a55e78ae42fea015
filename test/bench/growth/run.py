"""run.py - measures one growth in one variant: the figures at each size."""

from growth import cases
from growth.fit import median

ROUNDS = 3
FEW, PROBES, PROBE_ROUNDS = 10, 50, 5  # volumes that are mounted when the first ones are measured, and how they are


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
    """One more volume, published and removed: a median, because a busy machine delays some."""
    rounds = [_each(node.mount_and_remove(class_name, PROBES, *flags), PROBES) for _ in range(PROBE_ROUNDS)]
    return medians(rounds)


def _volumes(node, sizes, sharing, label):
    """(points, each): figures with so many volumes mounted, and those of one volume among the first ones and the last ones."""
    class_name, flags = _class("volumes", sharing)
    node.start()
    probe_flags = [*flags, "--first=0"]
    used = {"driver_cpu_ms": 0, "provider_cpu_ms": 0}
    points, mounted = [], 0

    def grow(size):
        nonlocal mounted
        figures = node.mount(class_name, size - mounted, *flags, f"--first={mounted}", prefix=label)
        mounted = size
        for name in used:
            used[name] += figures[name]
        return figures

    grow(FEW)
    _probe(node, class_name, probe_flags)  # what is allocated once is allocated now
    first = [_probe(node, class_name, probe_flags)]
    for size in sizes:
        kept = grow(size) if size > mounted else node.sizes()
        probed = _probe(node, class_name, probe_flags)
        points.append({**kept, **used, "latency_ms": probed["latency_ms"]})
    last = probed
    node.remove(class_name, mounted - FEW, f"--first={FEW}", prefix=label)
    first.append(_probe(node, class_name, probe_flags))  # again, because the machine may have become slower meanwhile
    node.remove(class_name, FEW, prefix=label)
    each = {name: {"first": (first[0][name] + first[1][name]) / 2, "last": last[name]} for name in (*used, "latency_ms")}
    return points, each


def run(node, growth, sizes, variant):
    """{"sizes", "points"}, and "each" for volumes."""
    result = {"sizes": list(sizes)}
    if growth.name == "volumes":
        result["points"], result["each"] = _volumes(node, sizes, variant.sharing, f"kept-{variant.protocol[5:]}-{variant.sharing}")
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
    return result
