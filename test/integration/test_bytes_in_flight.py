"""Many large mounts at once: the bytes that driver and provider hold stay within --max-bytes-in-flight, and nobody is left out."""

import pytest

from harness import mounts, rpc, tutorial
from harness.memory import status_bytes
from harness.process import STATIC, wait_until
from harness.programs import metric_sum

pytestmark = [pytest.mark.release_only, pytest.mark.slow]  # the sanitizer keeps what is freed

SECRETS, SIZE = 155, 24500  # 3.8 MB, just below what a driver accepts by default
MIB = 1024 * 1024
BUDGET = 32 * MIB
# What a process needs besides: its connections, the one response that is being unpacked or packed, up to 64 KiB of each that waits. The heap of
# glibc keeps holes, which the C library of the release does not.
BASE = (12 if STATIC else 28) * MIB


def value(name):
    return (name + "-" * SIZE)[:SIZE]


def add_secrets(emulator, prefix):
    names = [f"{prefix}{number}" for number in range(SECRETS)]
    for name in names:
        emulator.set_secret(name, value(name))
    return names


class Burst:
    """Publishes for pods that all start at once; `classes` gives the class of each."""

    def __init__(self, node, classes):
        self.client = rpc.Client(node.csi_socket)
        self.uids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(len(classes))]
        self.targets = [node.target(pod_uid=uid) for uid in self.uids]
        self.classes = classes

    def start(self):
        return [self.client.future(rpc.PUBLISH, rpc.publish_request(target, class_name=class_name, pod=f"pod-{uid[-2:]}", pod_uid=uid,
                                                                    secrets=tutorial.CREDENTIALS), 120)
                for uid, target, class_name in zip(self.uids, self.targets, self.classes)]

    def end(self):
        for uid, target in zip(self.uids, self.targets):
            self.client.call(rpc.UNPUBLISH, rpc.unpublish_request(target, pod_uid=uid), 30)
        self.client.close()


def run(burst, names_of, driver, azure):
    """All pods get their files. Returns whether a mount was seen waiting in each program."""
    seen = {driver: False, azure: False}
    futures = burst.start()

    def done():
        for program in seen:
            seen[program] |= metric_sum(program.metrics(), "mounts_waiting_for_memory") > 0
        return all(future.done() for future in futures)
    try:
        wait_until(done, timeout=120, what="all pods to start")
        for future, target, class_name in zip(futures, burst.targets, burst.classes):
            future.result()
            assert mounts.contents(target) == {name: value(name).encode() for name in names_of(class_name)}
    finally:
        burst.end()
    return seen


def check_end(program, before, budget):
    metrics = program.metrics()
    assert metric_sum(metrics, "mount_bytes_in_flight") == metric_sum(metrics, "mounts_waiting_for_memory") == 0
    assert status_bytes(program, "VmHWM") - before < budget + BASE, f"{status_bytes(program, 'VmHWM') / MIB:.1f} MiB"


def test_32_pods_of_3_8_mb_at_once(node, emulator, start_driver, start_azure):
    names = add_secrets(emulator, "big")
    node.add_class("big", text=tutorial.class_with(names, name="big"))
    azure, driver = start_azure(), start_driver()
    before = {program: status_bytes(program, "VmRSS") for program in (driver, azure)}
    seen = run(Burst(node, ["big"] * 32), lambda _: names, driver, azure)
    for program, resident in before.items():
        check_end(program, resident, BUDGET)
    assert any(seen.values())
    assert sum(metric_sum(program.metrics(), "mount_memory_wait_seconds_total") for program in before) > 0


def test_pods_with_secrets_of_their_own_and_a_small_budget(node, emulator, start_driver, start_azure):
    names = {f"class{number}": add_secrets(emulator, f"own{number}-") for number in range(8)}
    for name, secrets in names.items():
        node.add_class(name, text=tutorial.class_with(secrets, name=name))
    flag = f"--max-bytes-in-flight={8 * MIB}"
    azure, driver = start_azure(flag), start_driver(flag)
    before = {program: status_bytes(program, "VmRSS") for program in (driver, azure)}
    run(Burst(node, list(names)), names.get, driver, azure)
    for program, resident in before.items():
        check_end(program, resident, 8 * MIB)
