"""model.py - a discrete-event model (SimPy) of a cluster in front of vaults with limits.

It has the rules of the programs, not their code: the provider's retries, shared back-off, joined and cached reads
(provider-azure/network/throttle.h, retry_policy.c, vault/vault_cache.h), the driver's rotation checks (driver/rotation/rotation.h), the
kubelet's calls and pauses. `provider="go"` has those of the Go provider instead: no sharing, one request after the other, three token
requests and one without a token for each mount. What depends on the machine is measured: the time of one response and how many requests a
second emulator and providers serve together (Machine).
"""

import bisect
import random
from collections import deque
from dataclasses import dataclass

import simpy

from scale.service import Machine, Service

MOUNT_LIMIT_S = 118 - 0.3  # of the kubelet's two minutes, less the margins of driver and provider
JOIN_S, GRACE_S, CACHE_TTL_S, HOLD_S = 0.5, 10, 120, 150
MAX_RETRIES, RETRY_AFTER_MAX_S, MAX_CONSECUTIVE_429, MAX_IN_FLIGHT, CALM_S = 3, 60, 5, 32, 20
SYNC_S = (60, 90)
CONTAINER_START_S = 2
GO_DISCOVERY = 2  # requests about the cloud before each token request


@dataclass(frozen=True)
class Rules:
    """What the provider does when a vault throttles, each to be left out to see what it is good for."""
    first_before_checks: bool = True  # in the queue of a throttled vault, and after its pauses
    kept_reads: bool = True  # a first mount that failed for throttling keeps what it has read for the kubelet's next try
    patient: bool = True  # a 429 is retried up to the caller's deadline, not three times
    oldest_first: bool = True  # in the queue of a throttled vault, and after its pauses
    slow_ramp: bool = True  # after a pause, from half of the requests in flight that were too many, grow by one
    held_reads: bool = True  # what such a mount keeps is there until its next try, however old it is


class Scope:
    """throttle.h"""

    __slots__ = ("limit", "in_flight", "woken", "doubles_below", "responses", "consecutive", "paused", "pause_s", "until", "random", "queue", "rules")

    def __init__(self, rules):
        self.rules = rules
        self.limit = 0  # OPEN
        self.in_flight = self.woken = 0
        self.doubles_below = self.responses = 0
        self.consecutive = 0
        self.paused = False
        self.pause_s = self.until = 0.0
        self.random = None  # of the pause: its spread
        self.queue = []

    def enqueue(self, request):
        rules = self.rules
        request.place = (rules.first_before_checks and not request.first, (request.since, request.number) if rules.oldest_first else (0, 0))
        bisect.insort(self.queue, request, key=lambda queued: queued.place)
        request.permit = "queued"

    def hurry(self, request, since):
        """A new pod waits for it, too."""
        request.first, request.since = True, min(request.since, since)
        if request.permit == "queued" and self.rules.first_before_checks:
            self.queue.remove(request)
            self.enqueue(request)
            request.wait(0)

    def pause_left(self, request, now):
        if not self.rules.oldest_first:
            return max(0, self.until - now)
        if not self.paused:
            return 0
        return max(0, self.until + request.spread(self.pause_s, request.deadline - self.until, self.random) - now)

    def has_room(self):
        return self.in_flight + self.woken < self.limit

    def acquire(self, request, now):
        """0: granted, None: queued, else the time that is left of a pause."""
        if self.limit == 0:
            return 0
        if request.permit == "woken":
            self.woken -= 1
            request.permit = None
        if now >= self.until + CALM_S:
            self.doubles_below = MAX_IN_FLIGHT + 1
        left = self.pause_left(request, now)
        if left > 0 and not self.rules.oldest_first:
            return left + request.spread(left, request.deadline - self.until, request.model.random.random())
        if request.permit != "queued":
            self.enqueue(request)
        if left > 0:
            return left
        self.paused = False
        if not self.has_room():
            return None
        if self.queue[0] is not request and self.rules.oldest_first:
            self.wake_first()
            return None
        self.queue.remove(request)
        request.permit = "held"
        self.in_flight += 1
        return 0

    def release(self, request, responded):
        permit, request.permit = request.permit, None
        if permit is None:
            return
        if permit == "queued":
            self.queue.remove(request)
        elif permit == "woken":
            self.woken -= 1
        else:
            self.in_flight -= 1
            if responded:
                self.consecutive = 0
                self.grow()
        opened = self.limit > MAX_IN_FLIGHT
        if opened:
            self.limit = 1 << 32
        self.wake()
        if opened and self.in_flight == 0 and self.woken == 0 and not self.queue:
            self.limit = 0

    def grow(self):
        if self.limit < self.doubles_below or not self.rules.slow_ramp:
            self.limit *= 2
            return
        self.responses += 1
        if self.responses >= self.limit:
            self.limit += 1
            self.responses = 0

    def wake_first(self):
        request = self.queue.pop(0)
        request.permit = "woken"
        self.woken += 1
        request.wait(0)

    def wake(self):
        while self.has_room() and self.queue:
            self.wake_first()

    def pause(self, now, until, random):
        former, self.limit, self.responses = self.limit, 1, 0
        if self.until <= now:
            self.consecutive += 1
            self.doubles_below = (former if 0 < former <= MAX_IN_FLIGHT else MAX_IN_FLIGHT) // 2
            self.random = random
        self.paused = True
        if until > self.until:
            self.until, self.pause_s = until, until - now


class Request:
    """http_retry.c: one GET of an object with its retries. The waiters are mounts."""

    __slots__ = ("model", "node", "vault", "key", "deadline", "first", "waiters", "permit", "tries", "sent", "turn", "throttled", "since", "number",
                 "place")

    def __init__(self, node, vault, key, deadline, first, since):
        node.model.requests += 1
        self.since, self.number = since, node.model.requests  # its places in the queues
        self.model, self.node, self.vault, self.key, self.deadline, self.first = node.model, node, vault, key, deadline, first
        self.waiters = []
        self.permit = None
        self.tries = 0
        self.sent = None  # the time of sending while in flight
        self.turn = 0  # of its timer: an older one does nothing
        self.throttled = False

    @property
    def scope(self):
        return self.node.scopes[self.vault]

    def wait(self, seconds):
        self.turn += 1
        self.model.after(seconds, self.on_pause_over, self.turn)

    def on_pause_over(self, turn):
        if turn != self.turn:
            return
        if self.permit == "queued" and self.deadline <= self.model.env.now:
            self.end(False, throttled=True)
        else:
            self.send()

    def spread(self, pause, left, random):
        spread = min(pause / 4, 1)
        if self.model.rules.first_before_checks:  # the checks come a little later
            spread = random * spread / 2 + (0 if self.first else spread / 2)
        else:
            spread *= random
        return max(0, min(spread, left / 2))

    def send(self):
        now = self.model.env.now
        left = self.deadline - now
        if left <= 0:
            self.end(False)
            return
        wait = self.scope.acquire(self, now)
        if wait is None:
            self.throttled = True
            self.wait(left)
        elif wait >= left and wait > 0:
            self.end(False, throttled=True)
        elif wait > 0:
            self.throttled = True
            self.wait(wait)
        else:
            self.sent = now
            self.tries += 1
            self.model.service.get(self.vault, self.on_reply)

    def on_reply(self, status, retry_after):
        now = self.model.env.now
        sent, self.sent = self.sent, None
        if status == 200:
            self.scope.release(self, True)
            self.end(True, sent=sent)
            return
        left = self.deadline - now
        if retry_after is not None:
            delay = retry_after
        else:
            n = self.tries
            if status == 429:
                n = max(n, min(self.scope.consecutive + 1, MAX_CONSECUTIVE_429))
            delay = min(60, (2 ** n - 1) * 0.8 * self.model.random.uniform(0.8, 1.3))
        if status == 429:
            self.scope.pause(now, now + min(delay, RETRY_AFTER_MAX_S), self.model.random.random())
        self.scope.release(self, False)
        limited = self.tries > MAX_RETRIES and not (status == 429 and self.model.rules.patient)
        if limited or delay > RETRY_AFTER_MAX_S or delay >= left:
            self.end(False, throttled=status == 429)
            return
        shared = self.scope.pause_left(self, now) if status == 429 and self.model.rules.oldest_first else 0
        if shared >= left:
            self.end(False, throttled=True)
            return
        if shared > 0:
            self.scope.enqueue(self)
            delay = shared
        elif retry_after is not None:
            delay += self.spread(delay, left - delay, self.model.random.random())
        self.wait(delay)

    def end(self, good, sent=None, throttled=False):
        self.turn += 1
        self.scope.release(self, False)
        flights = self.node.flights.get(self.key)
        if flights is not None and self in flights:
            flights.remove(self)
            if not flights:
                del self.node.flights[self.key]
        if good:
            self.node.cached[self.key] = sent
            self.node.last_served[self.key] = self.model.env.now
        for mount in self.waiters:
            mount.one_read(good, throttled)


class Mount:
    """mount.c: all reads of one volume, then done(good)."""

    __slots__ = ("model", "pod", "deadline", "missing", "good", "throttled", "ended", "done", "began")

    def __init__(self, pod, done):
        self.model, self.pod, self.done = pod.node.model, pod, done
        self.began = self.model.env.now
        self.deadline = self.began + MOUNT_LIMIT_S / self.model.case.speed
        self.good, self.throttled, self.ended = True, False, False
        pod.node.with_token(pod.app, self)

    def on_token(self, good):
        if self.ended:
            return
        if not good:
            self.good = False
            self.finish()
            return
        node, pod, now = self.pod.node, self.pod, self.model.env.now
        first = pod.served is None
        since = pod.tried if first else pod.served
        waits_since = since if first and since is not None else self.began
        self.missing = 0
        for key in pod.objects:
            read = node.cached.get(key)
            if read is not None and self.may_serve(key, read, first, since):
                continue
            self.missing += 1
            window = JOIN_S if first else max(JOIN_S, CACHE_TTL_S / self.model.case.speed)
            last = node.last_served.get(key)
            request = None
            for flight in node.flights.get(key, ()):
                waited_for = self.model.rules.held_reads and first and since is not None and flight.sent is not None and flight.sent >= since
                if flight.sent is None or ((last is None or flight.sent >= last) and (now - flight.sent <= window or waited_for)):
                    request = flight
                    break
            if request is None:
                request = Request(node, pod.vault, key, self.deadline, first, waits_since)
                node.flights.setdefault(key, []).insert(0, request)
                request.waiters.append(self)
                request.send()
            else:
                request.deadline = max(request.deadline, self.deadline)
                if first:
                    request.scope.hurry(request, waits_since)
                request.waiters.append(self)
        if self.missing == 0:
            self.finish()
        else:
            self.model.after(self.deadline + 0.15 - now, self.on_guard)

    def may_serve(self, key, read, first, since):
        model, node, now = self.model, self.pod.node, self.model.env.now
        fresh = now - read <= CACHE_TTL_S / model.case.speed
        if first:
            held = model.rules.held_reads and node.held_until.get(key, 0) >= now
            return since is not None and read >= since and (fresh or held)
        return fresh and (since is None or read > since or now - read <= GRACE_S)

    def one_read(self, good, throttled):
        if self.ended:
            return
        self.missing -= 1
        self.good = self.good and good
        self.throttled = self.throttled or throttled
        if self.missing == 0:
            self.finish()

    def on_guard(self):
        if not self.ended:
            self.good = False
            self.finish()

    def finish(self):
        self.ended = True
        if not self.good and self.pod.served is None and self.model.rules.kept_reads:
            self.keep()
        self.done(self.good)


    def keep(self):
        """For the next call of this pod."""
        node, now = self.pod.node, self.model.env.now
        if self.pod.tried is None:
            self.pod.tried = self.began
        for key in self.pod.objects:
            node.held_until[key] = now + HOLD_S


class GoMount:
    """One request after the other, each with three retries of its own; nothing is shared."""

    __slots__ = ("model", "pod", "deadline", "left", "tries", "done", "tokens")

    def __init__(self, pod, done):
        self.model, self.pod, self.done = pod.node.model, pod, done
        self.deadline = self.model.env.now + MOUNT_LIMIT_S / self.model.case.speed
        self.tokens = GO_DISCOVERY + 1
        self.left = len(pod.objects) + 1  # the first one without a token: the challenge
        self.tries = 0
        self.next()

    def next(self):
        if self.model.env.now >= self.deadline:
            self.done(False)
        elif self.tokens > 1:
            self.model.after(self.model.machine.response_s, self.on_reply, 200, None)
        elif self.tokens:
            self.model.service.token(self.pod.app, self.on_reply)
        else:
            self.model.service.get(self.pod.vault, self.on_reply)

    def on_reply(self, status, retry_after):
        self.tries += 1
        if status == 200:
            self.tries = 0
            if self.tokens:
                self.tokens -= 1
            else:
                self.left -= 1
            if self.left == 0:
                self.done(True)
            else:
                self.next()
            return
        delay = retry_after if retry_after is not None else (2 ** self.tries - 1) * 0.8 * self.model.random.uniform(0.8, 1.3)
        if self.tries > MAX_RETRIES or delay > RETRY_AFTER_MAX_S or self.model.env.now + delay >= self.deadline:
            self.done(False)
        else:
            self.model.after(delay, self.next)


class Node:
    """A provider: what its mounts share."""

    __slots__ = ("model", "number", "scopes", "flights", "cached", "last_served", "held_until", "tokens", "token_waiters")

    def __init__(self, model, number):
        self.model, self.number = model, number
        self.scopes = [Scope(model.rules) for _ in range(model.case.vaults)]
        self.flights, self.cached, self.last_served, self.held_until = {}, {}, {}, {}
        self.tokens, self.token_waiters = set(), {}

    def with_token(self, app, mount):
        if app in self.tokens:
            mount.on_token(True)
            return
        waiters = self.token_waiters.setdefault(app, [])
        waiters.append(mount)
        if len(waiters) == 1:
            self._request_token(app, 0)

    def _request_token(self, app, tries):
        def on_reply(status, retry_after):
            delay = retry_after
            if status == 200:
                self.tokens.add(app)
            elif tries < MAX_RETRIES and delay <= RETRY_AFTER_MAX_S:
                self.model.after(delay + self.model.random.uniform(0, min(delay / 4, 1)), self._request_token, app, tries + 1)
                return
            for mount in self.token_waiters.pop(app):
                mount.on_token(status == 200)
        self.model.service.token(app, on_reply)


class Pod:
    __slots__ = ("node", "number", "group", "vault", "app", "objects", "started", "served", "tried", "failures", "retry_at", "delay", "called", "wave")

    def __init__(self, node, number, group, wave=None):
        case = node.model.case
        self.node, self.number, self.group, self.wave = node, number, group, wave
        self.vault, self.app = group % case.vaults, group % case.apps
        self.objects = [(group, i) for i in range(case.objects)]
        self.started = self.served = self.tried = None
        self.failures, self.retry_at = 0, 0.0
        self.delay = node.model.random.randrange(case.interval_s // 8 + 1) if case.interval_s else 0

    def start(self):
        now = self.node.model.env.now
        if self.started is None:
            self.started = now
        self.called = now
        self.node.model.mount_type(self, self.on_mounted)

    def on_mounted(self, good):
        model = self.node.model
        now = model.env.now
        first = self.served is None
        model.outcome(self, first, good, now)
        if good:
            self.failures, self.retry_at, self.served = 0, 0.0, now
            if first:
                model.pod_ready(self)
            else:
                self.wait_for_sync()
            return
        self.failures += 1
        if first:
            model.after(min(122, 0.5 * 2 ** (self.failures - 1)) / model.case.speed, self.start)
            return
        if model.case.provider == "ours":
            pause = min(15 * 2 ** (self.failures - 1), max(60, model.case.interval_s)) * model.random.uniform(1, 1.25)
            self.retry_at = now + pause / model.case.speed
        self.wait_for_sync()

    def wait_for_sync(self):
        model = self.node.model
        if model.case.interval_s:
            model.after(model.random.uniform(*SYNC_S) / model.case.speed, self.sync)

    def sync(self):
        model = self.node.model
        spread = self.delay if model.case.provider == "ours" else 0
        if model.env.now >= self.retry_at and (model.env.now - self.served) * model.case.speed >= model.case.interval_s + spread:
            self.start()
        else:
            self.wait_for_sync()


class Model:
    """run() gives what measure.Result needs: the outcomes of all calls, and the requests by minute and vault."""

    def __init__(self, case, machine=Machine(), rules=Rules(), seed=1):
        self.case, self.machine, self.rules = case, machine, rules
        self.random = random.Random(seed)
        self.env = simpy.Environment()
        self.service = Service(self)
        self.mount_type = Mount if case.provider == "ours" else GoMount
        self.requests = 0
        self.token_requests = [0, 0]
        self.outcomes = []  # (time, class, first, good, since the start or the last success)
        self.recording = not case.warm
        self.nodes = [Node(self, number) for number in range(case.nodes)]
        self.pods = [Pod(node, number, number % case.classes) for node in self.nodes for number in range(case.pods)]
        self.waiting = len(self.pods)
        self.wave = deque()
        self.all_ready = self.env.event()

    def after(self, seconds, function, *arguments):
        self.env.timeout(max(0, seconds)).callbacks.append(lambda _: function(*arguments))

    def outcome(self, pod, first, good, now):
        if self.recording:
            since = pod.started if first else max(pod.served, self.case_began)
            self.outcomes.append((now - self.case_began, pod.group, first, good, now - since))

    def pod_ready(self, pod):
        self.waiting -= 1
        if self.waiting == 0 and not self.all_ready.triggered:
            self.all_ready.succeed()
        if pod.wave is not None:
            self.after(CONTAINER_START_S / self.case.speed, self.next_of_wave)
        pod.wait_for_sync()

    def next_of_wave(self):
        if self.wave:
            pod = self.wave.popleft()
            self.after(self.random.uniform(0, 1) / self.case.speed, pod.start)

    def run(self):
        case, env = self.case, self.env
        self.case_began = 0.0
        if not case.warm:
            self.service.limit()
        for node in range(case.nodes):
            start = self.random.uniform(0, case.spread_s) / case.speed
            for pod in self.pods[node * case.pods:(node + 1) * case.pods]:
                self.after(start, pod.start)
        env.run(until=self.all_ready if self.waiting else None)
        if case.warm:  # one interval and more, so that the checks have moved apart
            env.run(until=env.now + WARM_INTERVALS * case.interval_s / case.speed)
            self.case_began = env.now
            self.recording = True
            self.token_requests = [0, 0]
            self.service.limit()
            if case.away:
                self.after(case.away[0] / case.speed, setattr, self.service, "away", True)
                self.after(case.away[1] / case.speed, setattr, self.service, "away", False)
            if case.new_pods:
                new = [Pod(node, case.pods + i, 0, wave=i) for i in range(case.new_pods) for node in self.nodes]
                self.waiting = len(new)
                self.wave = deque(new)
                for _ in range(max(1, int(len(new) * case.wave))):
                    self.next_of_wave()
        if case.seconds:
            env.run(until=self.case_began + case.seconds / case.speed)
        return self


WARM_INTERVALS = 2
