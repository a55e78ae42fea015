"""A soak: both programs for a long time, under the limits of the charts, with everything that happens to a node, against a model.

A kubelet starts, lives and ends pods; secrets are rotated and classes edited; vault and API server fail, fall silent and restart; in the first
half the programs are restarted and killed, too. Each reading of a volume must find it whole, as the model has or had it, never older than the last
reading; slow readers get whole files. In the second half no program is restarted: memory, descriptors and threads have to stay where they are.

`make soak MINUTES=30` runs it on the static build. SOAK_SEED repeats the choices (not their times), SOAK_MINUTES sets the length, SOAK_WITHOUT
leaves out steps of the operator ("revoke,fault"), to find out which of them matters.

And the same node while one program after the other is killed at random moments, SOAK_KILLS times."""

import os
import random
import socket
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import limits
from harness import fault_proxy, kube, mounts, rpc, tutorial
from harness.fault_proxy import FaultProxy
from harness.process import PATIENCE, wait_until
from harness.programs import Azure, Driver, metric_sum
from harness.scratch import SCRATCH
from harness.secret_sync import replica_set, secret_object, uid

MINUTES = float(os.environ.get("SOAK_MINUTES", "0.4"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(1 << 32)))
KILLS = int(os.environ.get("SOAK_KILLS", "20"))
WITHOUT = set(filter(None, os.environ.get("SOAK_WITHOUT", "").split(",")))
PODS = 40
WORKERS = 8
SECRETS = [f"secret-{n}" for n in range(12)]
SIZES = [10, 300, 5000, 20000]
CLASSES = {"plain-0": None, "plain-1": None, "plain-2": None, "synced-0": "one", "synced-1": "two"}  # and the Secret that is made of it
CALL_S = 60  # a call that fails is repeated, as the kubelet does; within this time it has to succeed
FLAGS = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=2s", "-v=0")
# What may be there more in the last third of the second half than in its first third.
GROWTH_KIB, GROWTH_SHARE = 1024, 0.10
GROWTH_FDS = 10  # connections that are kept


class Model:
    """What the vault and the classes have, and have had. New values are here before they are there."""

    def __init__(self, chance):
        self.random = chance
        self.values = {name: [] for name in SECRETS}
        self.classes = {name: [] for name in CLASSES}
        self.there = {}  # of each class the generation that the API server has at least

    def rotate(self, name):
        text = f"{name} {len(self.values[name])} " + self.random.randbytes(self.random.choice(SIZES) // 2).hex()
        self.values[name].append(text.encode())
        return text

    def edit(self, class_name):
        names = tuple(sorted(self.random.sample(SECRETS, self.random.randint(1, 5))))
        self.classes[class_name].append(names)
        return names

    def wanted(self, class_name):
        return {name: self.values[name][-1] for name in self.classes[class_name][-1]}


class Volume:
    def __init__(self, number, class_name, node):
        self.number, self.class_name = number, class_name
        self.name, self.uid = f"pod-{number}", uid(number)
        self.target = node.target(pod_uid=self.uid)
        self.request = rpc.publish_request(self.target, class_name=class_name, pod=self.name, pod_uid=self.uid, secrets=tutorial.CREDENTIALS)
        self.generation, self.seen = 0, {}  # of the class, and of each secret: what was seen last

    def read(self):
        """One version of the volume, as a pod sees it that opens ..data once. Old versions are removed: then the next one is read."""
        for _ in range(100):
            try:
                version = os.open(self.target / "..data", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                found = {}
                for name in os.listdir(version):
                    with open(name, "rb", opener=lambda path, flags, at=version: os.open(path, flags, dir_fd=at)) as file:
                        found[name] = file.read()
                if found:
                    return found
            except FileNotFoundError:
                continue
            finally:
                os.close(version)
        raise AssertionError(f"{self.target}: no version can be read")

    def check(self, model):
        """Every file byte for byte: a class and values that were valid, and none older than what was seen before."""
        found = self.read()
        generations = model.classes[self.class_name]
        try:
            self.generation = generations.index(tuple(sorted(found)), self.generation)
        except ValueError:
            raise AssertionError(f"{self.name}: files {sorted(found)}, not one of {generations[self.generation:]}") from None
        for name, data in found.items():
            try:
                self.seen[name] = model.values[name].index(data, self.seen.get(name, 0))
            except ValueError:
                raise AssertionError(f"{self.name}: {name} is {data[:60]!r}… ({len(data)} bytes), not value {self.seen.get(name, 0)} or a later one "
                                     f"of {len(model.values[name])}") from None


class Watch:
    """Samples of the programs, once a second."""

    def __init__(self):
        self.samples = {"driver": [], "provider": []}  # (RssAnon in KiB, descriptors, threads)

    def take(self, name, process):
        try:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
            self.samples[name].append((int(status["RssAnon"].split()[0]), process.fd_count(), int(status["Threads"])))
        except (OSError, KeyError):
            pass  # it has just ended

    def result(self, name):
        """(what it was, what is wrong) between the first and the last third."""
        samples = self.samples[name]
        third = len(samples) // 3
        if third < 3:
            return f"{name}: {len(samples)} samples", [f"{name}: only {len(samples)} samples"]
        first, last = samples[:third], samples[-third:]
        memory = [statistics.median(sample[0] for sample in part) for part in (first, last)]
        fds = [statistics.median(sample[1] for sample in part) for part in (first, last)]
        threads = [max(sample[2] for sample in part) for part in (first, last)]
        wrong = []
        if memory[1] > memory[0] + max(GROWTH_KIB, GROWTH_SHARE * memory[0]):
            wrong.append(f"{name}: memory grew from {memory[0]:.0f} to {memory[1]:.0f} KiB")
        if fds[1] > fds[0] + GROWTH_FDS:
            wrong.append(f"{name}: descriptors grew from {fds[0]:g} to {fds[1]:g}")
        if threads[1] > threads[0]:
            wrong.append(f"{name}: threads grew from {threads[0]} to {threads[1]}")
        return (f"{name}: {memory[0]:.0f} -> {memory[1]:.0f} KiB, {fds[0]:g} -> {fds[1]:g} descriptors, {threads[0]} -> {threads[1]} threads",
                wrong)


class Soak:
    def __init__(self, node, emulator, start_driver, start_azure):
        self.node, self.emulator = node, emulator
        self.random = random.Random(SEED)
        self.model = Model(random.Random(SEED + 1))
        self.cluster = kube.Cluster(emulator)
        self.api = FaultProxy(emulator.tls_port)
        self.kube_faults = 0  # how often the last one is to come
        self.kubeconfig = node.directory / "kubeconfig"
        self.kubeconfig.write_text(emulator.kubeconfig.read_text().replace(f":{emulator.tls_port}", f":{self.api.port}"))
        self._start_driver, self._start_azure = start_driver, start_azure
        self.driver = self.azure = None
        self.volumes = {}  # slot -> Volume
        self.counts, self.failures, self.wrong = Counter(), {}, []  # failures: kind -> (how many, the text of the last one)
        self.watch = Watch()
        self.end = threading.Event()
        self._numbers = iter(range(1, 1 << 30))
        self._lock = threading.Lock()

    # --- the programs ---

    def start_driver(self):
        self.counts["drivers"] += 1
        self.driver = self._start_driver(f"--kubeconfig={self.kubeconfig}", *FLAGS, standalone=False, wrapper=limits.wrapper("driver"),
                                         name=f"driver-{self.counts['drivers']}")

    def start_azure(self):
        self.counts["providers"] += 1
        self.azure = self._start_azure("-v=0", wrapper=limits.wrapper("provider"), name=f"azure-{self.counts['providers']}")

    # --- what happens around them ---

    def rotate(self):
        name = self.random.choice(SECRETS)
        self.emulator.set_secret(name, self.model.rotate(name))

    def edit(self, class_name=None):
        class_name = class_name or self.random.choice(list(CLASSES))
        names = self.model.edit(class_name)
        parameters = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(names)}
        secret = CLASSES[class_name]
        objects = [secret_object(secret, data=[(name, name) for name in names])] if secret else None
        self.cluster.add("secretproviderclasses", kube.spc(class_name, provider="azure", parameters=parameters, secret_objects=objects))
        self.model.there[class_name] = len(self.model.classes[class_name]) - 1

    def fault(self):
        kind = self.random.choice(["status", "latency", "reset", "close", "close-after", "truncate", "garbage", "drip", "goaway", "stream-reset"])
        more = {"status": {"status": self.random.choice([429, 500, 503]), "retry_after": 1}, "latency": {"latency_ms": 700},
                "stream-reset": {"error": "REFUSED_STREAM"}, "drip": {"drip_ms": 1}}.get(kind, {})
        # one byte each millisecond makes some 20 s of a large secret: several in a row would use up the time of a call
        count = 1 if kind == "drip" else self.random.randint(1, 5)
        service = self.random.choice(["vault", "kube", "entra"])
        if service == "kube":
            if self._kube_fault_waits():
                return
            more["id"], self.kube_faults = "kube", count
        self.emulator.add_fault(kind, service=service, count=count, **more)
        if service == "entra":
            self.revoke()  # nobody requests a token otherwise, and the faults of many minutes would come together

    def _kube_fault_waits(self):
        """Is a fault of the Kubernetes API left, or does the driver get over one? Until then only its probes meet faults: one in five
        seconds, which is fewer than come here, so that the API server would never be reachable again."""
        left = [each for each in self.emulator.control("GET", "/faults") if each["id"] == "kube" and each["fired"] < self.kube_faults]
        return left or metric_sum(self.driver.metrics(), "kube_api_up") == 0

    def silence(self):
        """What a load balancer does that forgets its connections."""
        self.emulator.control("POST", "/connections/silence")

    def revoke(self):
        self.emulator.control("POST", "/entra/revoke-tokens")

    def api_restart(self):
        self.api.set(self.random.choice([fault_proxy.REFUSING, fault_proxy.SILENT]))
        self.end.wait(self.random.choice([0.3, 1, 3]))
        self.api.set(fault_proxy.FORWARD)

    def restart_provider(self):
        self.azure.destroy()
        self.start_azure()

    def kill_provider(self):
        self.azure.kill()
        self.start_azure()

    def restart_driver(self):
        self.driver.destroy()
        self.start_driver()

    def kill_driver(self):
        self.driver.kill()
        self.start_driver()

    def kill_both(self):
        for program in self.random.sample([self.driver, self.azure], 2):
            program.kill()
        for start in self.random.sample([self.start_driver, self.start_azure], 2):
            start()

    def kill_twice(self):
        """The second time while it takes up what the first one has left."""
        self.kill_driver()
        self.end.wait(self.random.random() * 0.05)
        self.kill_driver()

    def cut_api(self):
        """An API server that is killed, and one that takes its place at once; every other time the driver is killed meanwhile."""
        self.api.set(fault_proxy.REFUSING)
        if self.random.random() < 0.5:
            self.kill_driver()
        self.end.wait(self.random.random() * 0.2)
        self.api.set(fault_proxy.FORWARD)

    def kill_at_random(self, kills):
        """In the main thread, as operate()."""
        for _ in range(kills):
            self.rotate()
            if self.random.random() < 0.3:
                self.edit()
            if self.end.wait(self.random.random() * 0.4):
                return
            step = self.random.choice([self.kill_driver, self.kill_driver, self.kill_provider, self.kill_both, self.kill_twice, self.cut_api])
            self.counts[step.__name__] += 1
            step()

    def operate(self, seconds, with_restarts):
        """In the main thread: the programs end with the thread that has started them."""
        until = time.monotonic() + seconds
        steps = [self.rotate] * 8 + [self.edit] * 3 + [self.fault] * 3 + [self.silence, self.revoke, self.api_restart]
        if with_restarts:
            steps += [self.restart_provider, self.kill_provider, self.restart_driver, self.kill_driver]
        steps = [step for step in steps if step.__name__ not in WITHOUT]
        while time.monotonic() < until and not self.end.wait(self.random.choice([0.1, 0.4, 1])):
            step = self.random.choice(steps)
            self.counts[step.__name__] += 1
            step()

    # --- the kubelet and its pods ---

    def call(self, method, request):
        deadline = time.monotonic() + CALL_S * PATIENCE
        while True:
            try:
                with rpc.Client(self.node.csi_socket) as client:
                    client.call(method, request, timeout=30)
                self.counts[method.rsplit("/", 1)[1]] += 1
                return
            except grpc.RpcError as error:
                kind = f"{method.rsplit('/', 1)[1]} {error.code().name}"
                with self._lock:
                    self.failures[kind] = self.failures.get(kind, (0, ""))[0] + 1, error.details()
                if time.monotonic() > deadline:
                    raise AssertionError(f"{method} fails for {CALL_S} s: {error.code().name} {error.details()}") from None
            time.sleep(0.2)  # the pause of the caller

    def mount(self, slot, chance):
        with self._lock:
            number = next(self._numbers)
        volume = Volume(number, chance.choice(list(CLASSES)), self.node)
        self.cluster.add("pods", kube.pod(volume.name, uid=volume.uid, ownerReferences=[replica_set("set", 900)]))
        volume.generation = self.model.there[volume.class_name]  # a first mount has nothing older than now
        volume.seen = {name: 0 for name in SECRETS}
        self.call(rpc.PUBLISH, volume.request)
        volume.check(self.model)
        self.volumes[slot] = volume

    def republish(self, slot):
        volume = self.volumes[slot]
        volume.check(self.model)
        self.call(rpc.PUBLISH, volume.request)
        volume.check(self.model)

    def unmount(self, slot):
        volume = self.volumes.pop(slot)
        self.call(rpc.UNPUBLISH, rpc.unpublish_request(volume.target, pod_uid=volume.uid))
        mounts.assert_no_trace(volume.target)
        self.cluster.remove("pods", volume.name)
        status = f"{volume.name}-default-{volume.class_name}"
        if self.cluster.find(kube.STATUSES, status):
            self.cluster.remove(kube.STATUSES, status)

    def live(self, worker, seed):
        chance = random.Random(seed)
        slots = range(worker, PODS, WORKERS)
        while not self.end.is_set():
            slot = chance.choice(slots)
            if slot not in self.volumes:
                self.mount(slot, chance)
            elif chance.random() < 0.15:
                self.unmount(slot)
            else:
                self.republish(slot)

    # --- slow readers ---

    def read_slowly(self):
        """A pod that reads a file in small pieces, while it is rotated and perhaps unmounted."""
        chance = random.Random(SEED + 2)
        while not self.end.is_set():
            volumes = list(self.volumes.values())
            try:
                volume = chance.choice(volumes)
                name = chance.choice(self.model.classes[volume.class_name][-1])
                with open(volume.target / name, "rb", buffering=0) as file:
                    data = b""
                    while piece := file.read(2000):
                        data += piece
                        self.end.wait(0.1)
            except (IndexError, OSError):
                self.end.wait(0.1)
                continue
            assert data in self.model.values[name], f"a slow reader of {name} got {len(data)} bytes that are none of its values"
            self.counts["slow reads"] += 1

    def read_metrics_slowly(self):
        """A scraper that takes a byte at a time, then hangs up."""
        while not self.end.is_set():
            for port in (self.driver.metrics_port, self.azure.metrics_port):
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=5) as scraper:
                        scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                        for _ in range(10):
                            scraper.recv(1)
                            self.end.wait(0.1)
                except OSError:
                    self.end.wait(0.1)

    def sample(self):
        while not self.end.wait(1):
            self.watch.take("driver", self.driver)
            self.watch.take("provider", self.azure)

    # --- an act ---

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever ends a thread is a finding
            self.wrong.append(f"{work.__name__}: {type(error).__name__}: {error}"[:2000])
            self.end.set()

    def act(self, operate, *arguments):
        self.end.clear()
        self.watch = Watch()
        works = [(self.live, worker, self.random.random()) for worker in range(WORKERS)]
        works += [(self.read_slowly,), (self.read_metrics_slowly,), (self.sample,)]
        threads = [threading.Thread(target=self.guarded, args=work) for work in works]
        for thread in threads:
            thread.start()
        self.guarded(operate, *arguments)
        self.end.set()
        for thread in threads:
            thread.join(2 * CALL_S * PATIENCE)
            assert not thread.is_alive(), "a thread of the soak does not end"
        self.settle()

    def differing(self):
        """What is not as the vault and the classes have it now."""
        found = [volume.name for volume in self.volumes.values() if volume.read() != self.model.wanted(volume.class_name)]
        for class_name, secret in CLASSES.items():
            if secret and any(volume.class_name == class_name for volume in self.volumes.values()):
                data = self.cluster.find("secrets", secret)
                wanted = {name: value for name, value in self.model.wanted(class_name).items()}
                if data is None or set(data.get("data", {})) != set(wanted):
                    found.append(f"Secret {secret}")
        return found

    def settle(self):
        """The faults end; then everything has to become as the model has it, and stay so."""
        self.emulator.clear_faults()
        self.api.set(fault_proxy.FORWARD)

        def calm():
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(lambda volume: self.call(rpc.PUBLISH, volume.request), list(self.volumes.values())))
            return not self.differing()
        try:
            wait_until(calm, 90, "all volumes to be as the model has them", pause=0.5)
        except AssertionError:
            raise AssertionError(f"not as the model has it: {self.differing()}") from None
        below = mounts.mounts_below(self.node.kubelet)
        assert len(below) == len(self.volumes), f"{len(below)} mounts for {len(self.volumes)} volumes"

    def show(self):
        print("counts:", ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items())))
        for kind, (n, text) in sorted(self.failures.items()):
            print(f"repeated: {kind} {n}, for example: {text[:250]}")

    def unmount_all(self):
        for slot in list(self.volumes):
            self.unmount(slot)
        assert mounts.mounts_below(self.node.kubelet) == []
        assert metric_sum(self.driver.metrics(), "volumes_published") == 0


def begin(node, emulator, start_driver, start_azure):
    soak = Soak(node, emulator, start_driver, start_azure)
    for name in SECRETS:
        emulator.set_secret(name, soak.model.rotate(name))
    for name in CLASSES:
        soak.edit(name)
    soak.start_azure()
    soak.start_driver()
    return soak


def on_disk(values):
    """Files below the scratch directory, but in mounts, that have one of these values in them."""
    random_parts = [value.split(b" ", 2)[2][:64] for value in values]
    found = []
    for top, directories, names in os.walk(SCRATCH):
        directories[:] = [name for name in directories if not os.path.ismount(os.path.join(top, name))]
        for path in (Path(top) / name for name in names):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                found += [str(path)] * any(part in data for part in random_parts)
    return found


@pytest.mark.slow
@pytest.mark.release_only
@pytest.mark.timeout(600 + 90 * MINUTES)
def test_a_soak_loses_nothing_tears_nothing_and_stays_flat(node, emulator, start_driver, start_azure):
    print(f"SOAK_SEED={SEED} SOAK_MINUTES={MINUTES:g} limits: {'those of the charts' if limits.wrapper('driver') else 'none'}")
    soak = begin(node, emulator, start_driver, start_azure)
    problems, flat = [], []
    try:
        for with_restarts in (True, False):
            soak.act(soak.operate, MINUTES * 30, with_restarts)
        for program in ("driver", "provider"):
            text, wrong = soak.watch.result(program)
            flat.append(text)
            problems += wrong
        if not soak.wrong:
            soak.unmount_all()
    except AssertionError as error:
        problems.append(str(error)[:4000])
    finally:
        soak.end.set()
        soak.api.close()
    problems = soak.wrong + problems
    soak.show()
    print("\n".join(flat))
    print(f"RESULT: {'PASSED' if not problems else 'FAILED'} (SOAK_SEED={SEED} SOAK_MINUTES={MINUTES:g})")
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.release_only
@pytest.mark.timeout(400 + 5 * KILLS)
def test_programs_that_are_killed_at_random_moments_strand_nothing(node, emulator, start_driver, start_azure):
    """Every volume of a pod that lives is as the vault has it at the end, and was whole at any time; nothing is left of the others, and no value has
    ever been on a disk."""
    print(f"SOAK_SEED={SEED} SOAK_KILLS={KILLS}")
    soak = begin(node, emulator, start_driver, start_azure)

    def values():
        return [value for name in SECRETS for value in soak.model.values[name]]
    problems = []
    planted = SCRATCH / "planted"
    planted.write_bytes(b"..." + soak.model.values[SECRETS[0]][0])
    assert on_disk(values()) == [str(planted)], "it would not be found"
    planted.unlink()
    try:
        soak.act(soak.kill_at_random, KILLS)
        assert on_disk(values()) == []
        if not soak.wrong:
            soak.unmount_all()
            assert on_disk(values()) == []
            assert mounts.mounts_below(node.directory) == []
    except AssertionError as error:
        problems.append(str(error)[:4000])
    finally:
        soak.end.set()
        soak.api.close()
        soak.show()
    assert not soak.wrong + problems, "\n".join(soak.wrong + problems)
