"""The cases of `make bench-scale`, as data: the same for the real programs and for the model.

A case begins with a cluster that is empty, or (`warm`) with one whose pods have had their secrets for a while without any limit. Then the
limits are set, and the time of the case begins.
"""

from dataclasses import dataclass, field, replace

# What Microsoft publishes for secrets: transactions within ten seconds, per vault and region; five times that for all vaults of a
# subscription. A request that gets 429 does not count.
VAULT_LIMIT, SUBSCRIPTION_LIMIT, WINDOW_S = 4000, 20000, 10


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    nodes: int = 200
    pods: int = 30
    classes: int = 20
    objects: int = 5
    vaults: int = 1
    apps: int = 1
    interval_s: int = 0  # of rotation; 0: no rotation checks
    warm: bool = False
    spread_s: float = 10  # within which the nodes start
    new_pods: int = 0  # of one Deployment, one on each node, while the others go on
    wave: float = 0.25  # the part of them that may be starting at a time
    share: float = 1  # of the published limit that the vault gives
    away: tuple = ()  # (from, to) in seconds
    seconds: float = 0  # the time of the case; 0: until all pods have their secrets
    long: bool = False  # too long to be run at the speed of a real cluster, as those with `warm` are
    speed: int = 1  # kubelet, driver, limits and times of the case run so many times faster
    retry_after: bool = True  # a 429 says when the next window begins
    provider: str = "ours"
    token_limit: int = 0  # token requests of an application within a minute; 0: none
    tags: dict = field(default_factory=dict, compare=False)

    def with_(self, **changes):
        return replace(self, **changes)

    @property
    def total_pods(self):
        return self.nodes * self.pods

    @property
    def vault_limit(self):
        return max(1, round(VAULT_LIMIT * self.share))

    @property
    def distinct_objects(self):
        """Of one node."""
        return min(self.pods, self.classes) * self.objects

    def limits(self):
        """The body of the emulator's PUT /limits."""
        return {"vault": self.vault_limit, "subscription": SUBSCRIPTION_LIMIT, "window_s": WINDOW_S / self.speed,
                "retry_after": "window" if self.retry_after else "none",
                "tokens": self.token_limit, "token_window_s": 60 / self.speed}


# Two minutes are the chart's interval. The kubelet calls every 60 to 90 seconds, so that the real period is two to three minutes.
CASES = (
    Case("cold", "cold start of the whole cluster"),
    Case("rollout", "rollout of one Deployment over all nodes", interval_s=120, warm=True, new_pods=1, seconds=240),
    Case("steady", "rotation every two minutes", interval_s=120, warm=True, seconds=600),
    Case("away", "a vault that is away for ten minutes", interval_s=120, warm=True, away=(60, 660), seconds=1200),
    Case("tenth", "a vault that gives a tenth of its limit", interval_s=120, warm=True, share=0.1, seconds=600),
    Case("long", "cold start that takes longer than a mount may wait", share=0.1, long=True),
)


def short(case):
    """A small version for tests: few nodes, limits to match, and what takes minutes accelerated."""
    scale = 4 / case.nodes
    return case.with_(nodes=4, pods=10, classes=5, objects=4, spread_s=1, share=case.share * scale / 2, speed=30 if case.warm or case.long else 1)
