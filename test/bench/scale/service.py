"""The servers of the model: vaults and a token service with limits, behind one machine."""

import math
from collections import defaultdict
from dataclasses import dataclass

from scale import cases


@dataclass(frozen=True)
class Machine:
    response_s: float = 0.005
    capacity: float = math.inf  # requests a second


class Limiter:
    """Fixed windows, as the emulator's."""

    def __init__(self, requests, window_s, since):
        self.requests, self.window_s, self.since = requests, window_s, since
        self.window, self.used = -1, 0

    def has_room(self, now):
        window = int((now - self.since) / self.window_s)
        if window != self.window:
            self.window, self.used = window, 0
        return self.requests == 0 or self.used < self.requests

    def retry_after(self, now):
        return math.ceil(self.window_s - (now - self.since) % self.window_s)


class Service:
    """Vaults and token service behind one machine."""

    def __init__(self, model):
        self.model = model
        self.busy_until = 0.0
        self.limiters = None
        self.since = 0.0
        self.minutes = defaultdict(lambda: [0, 0])  # admitted, refused
        self.by_vault = defaultdict(lambda: [0, 0])
        self.away = False

    def limit(self):
        case, now = self.model.case, self.model.env.now
        self.since = now
        window = cases.WINDOW_S / case.speed
        self.limiters = [Limiter(case.vault_limit, window, now) for _ in range(case.vaults)]
        self.subscription = Limiter(cases.SUBSCRIPTION_LIMIT, window, now)
        self.tokens = [Limiter(case.token_limit, 60 / case.speed, now) for _ in range(case.apps)]
        self.minutes.clear()
        self.by_vault.clear()

    def _arrival(self):
        machine, now = self.model.machine, self.model.env.now
        if machine.capacity is math.inf:
            return now
        self.busy_until = max(now, self.busy_until) + 1 / machine.capacity
        return self.busy_until

    def get(self, vault, done):
        """done(status, retry_after)"""
        model = self.model
        at = self._arrival()
        status, retry_after = 200, None
        if self.away:
            status = 503
        elif self.limiters is not None:
            limiter = self.limiters[vault]
            if limiter.has_room(at) and self.subscription.has_room(at):
                limiter.used += 1
                self.subscription.used += 1
            else:
                status = 429
                retry_after = limiter.retry_after(at) if model.case.retry_after else None
        if not self.away:
            refused = status == 429
            self.minutes[int((at - self.since) * model.case.speed / 60)][refused] += 1
            self.by_vault[vault][refused] += 1
        model.after(at - model.env.now + model.machine.response_s, done, status, retry_after)

    def token(self, app, done):
        model = self.model
        at = self._arrival()
        status, retry_after = 200, None
        if self.limiters is not None and model.case.token_limit:
            limiter = self.tokens[app]
            if limiter.has_room(at):
                limiter.used += 1
            else:
                status, retry_after = 429, limiter.retry_after(at)
        model.token_requests[status == 429] += 1
        model.after(at - model.env.now + model.machine.response_s, done, status, retry_after)
