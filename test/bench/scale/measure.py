"""measure.py - what a case comes to, for real runs and for the model alike. All times in seconds of a cluster that is not accelerated."""

import statistics
from collections import defaultdict


def percentile(values, percent):
    """The smallest value that so many percent are not above; 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0


def fairness(groups):
    """Jain's index of the groups' means: 1 = all alike, 1/n = one has it all."""
    means = [statistics.fmean(values) for values in groups.values() if values]
    square = sum(mean * mean for mean in means)
    return sum(means) ** 2 / (len(means) * square) if square else 1.0


class Result:
    def __init__(self, case):
        self.case = case
        self.first, self.gaps = [], []  # waits of pods; times between two successful checks
        self.first_at = []  # when the pods had their secrets
        self.by_class, self.by_vault = defaultdict(list), defaultdict(list)
        self.failed_mounts = self.failed_checks = 0
        self.minutes = []  # (admitted, refused)
        self.admitted = self.refused = self.tokens = self.tokens_refused = 0
        self.vault_requests = {}  # name: (admitted, refused)
        self.memory_mib = self.cpu_s = None

    def call(self, at, group, first, good, since):
        speed = self.case.speed
        if first and good:
            self.first.append(since * speed)
            self.first_at.append(at * speed)
        elif first:
            self.failed_mounts += 1
        elif good:
            self.gaps.append(since * speed)
        else:
            self.failed_checks += 1
        if good:
            self.by_class[group].append(since * speed)
            self.by_vault[group % self.case.vaults].append(since * speed)

    def read_log(self, path, began):
        """cluster-load's; what ended before `began` (monotonic seconds) does not count."""
        for line in path.read_text().splitlines():
            at, _, _, group, kind, status, _, since = line.split()
            elapsed = int(at) / 1000 - began
            if elapsed >= 0:
                self.call(elapsed, int(group), kind == "first", status == "0", min(int(since) / 1000, elapsed))

    def read_samples(self, samples, report, counters):
        minute = 60 / self.case.speed
        self.minutes = [[0, 0] for _ in range(int(samples[-1][0] / minute) + 1)]
        before = (0, 0)
        for at, usage in samples:
            now = (usage["admitted"], usage["refused"])
            for which in (0, 1):
                self.minutes[int(at / minute)][which] += now[which] - before[which]
            before = now
        self.admitted, self.refused = before
        self.vault_requests = {name: (usage["admitted"], usage["refused"]) for name, usage in report["vaults"].items()}
        for route in counters["routes"]:
            if route["service"] == "entra" and route["route"].endswith("/token"):
                if route["status"] == 429:
                    self.tokens_refused += route["count"]
                else:
                    self.tokens += route["count"]

    @classmethod
    def of_model(cls, model):
        result = cls(model.case)
        for at, group, first, good, since in model.outcomes:
            result.call(at, group, first, good, since)
        minutes = model.service.minutes
        result.minutes = [list(minutes.get(i, (0, 0))) for i in range(max(minutes, default=0) + 1)]
        result.vault_requests = {f"vault{vault}": tuple(counts) for vault, counts in model.service.by_vault.items()}
        result.admitted = sum(counts[0] for counts in model.service.by_vault.values())
        result.refused = sum(counts[1] for counts in model.service.by_vault.values())
        result.tokens, result.tokens_refused = model.token_requests
        return result

    def summary(self):
        """Name: value, the figures that are compared and printed."""
        case = self.case
        peak = max(self.minutes, default=(0, 0), key=sum)
        figures = {
            "pods that got their secrets": len(self.first),
            "last pod after, s": max(self.first_at, default=0),
            "wait of a new pod, p50, s": percentile(self.first, 50),
            "wait of a new pod, p99, s": percentile(self.first, 99),
            "wait of a new pod, longest, s": max(self.first, default=0),
            "mounts that failed and were repeated": self.failed_mounts,
            "vault requests": self.admitted,
            "refused (429)": self.refused,
            "most requests in a minute": peak[0],
            "most 429 in a minute": max((minute[1] for minute in self.minutes), default=0),
            "token requests": self.tokens,
        }
        if case.interval_s:
            figures |= {
                "rotation checks": len(self.gaps),
                "rotation checks that failed": self.failed_checks,
                "time between two checks, p50, s": percentile(self.gaps, 50),
                "time between two checks, longest, s": max(self.gaps, default=0),
            }
        figures["fairness between classes"] = fairness(self.by_class)
        if case.vaults > 1:
            figures["fairness between vaults"] = fairness(self.by_vault)
        return figures
