"""cases.py - what grows, to which sizes, and in which variants."""

import dataclasses
import itertools

VALUE_OBJECTS = 10  # objects of a volume whose values grow


@dataclasses.dataclass(frozen=True)
class Growth:
    name: str
    title: str
    unit: str
    one: str  # of the unit
    sizes: tuple
    quick: tuple


GROWTHS = (
    Growth("volumes", "Volumes that are mounted", "volumes", "volume", (100, 200, 500, 1000, 2000, 5000, 10000), (10, 20, 50, 100, 200, 500, 1000)),
    Growth("objects", "Objects of a volume", "objects", "object", (1, 2, 5, 10, 20, 50, 100, 200, 500), (1, 2, 5, 10, 20, 50)),
    Growth("value", "Size of each of the ten values of a volume", "bytes", "byte", (16, 64, 256, 1024, 4096, 10240, 25600), (16, 64, 256, 1024, 2560)),
    Growth("classes", "Classes, each used by one volume", "classes", "class", (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), (1, 2, 5, 10, 20, 50, 100)),
    Growth("identities", "Identities, each used by one volume", "identities", "identity", (1, 2, 5, 10, 20, 50, 100, 200), (1, 2, 5, 10, 20)),
)

BUILDS = ("static", "dynamic")
PROTOCOLS = {"HTTP/2": "h2", "HTTP/1.1": "http/1.1"}
SHARINGS = ("distinct", "shared")  # each volume has objects of its own, or all have the same

# name: (title, unit)
FIGURES = {
    "driver_cpu_ms": ("CPU of the driver", "ms"),
    "provider_cpu_ms": ("CPU of the provider", "ms"),
    "latency_ms": ("latency of a mount, p50", "ms"),
    "driver_kib": ("memory of the driver", "KiB"),
    "provider_kib": ("memory of the provider", "KiB"),
    "driver_fds": ("descriptors of the driver", ""),
    "provider_fds": ("descriptors of the provider", ""),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    build: str
    protocol: str
    sharing: str

    def __str__(self):
        return f"{self.build}, {self.protocol}, {self.sharing}"


VARIANTS = tuple(Variant(*words) for words in itertools.product(BUILDS, PROTOCOLS, SHARINGS))


def volumes_of(objects):
    """How many volumes with so many objects are mounted to measure one."""
    return max(4, min(40, 400 // objects))
