"""Clocks that are set while the programs run, and pauses of a minute that pass at once: both programs under a clock of the test's own."""

import pytest

from harness import mounts, rpc, tutorial
from harness.azure_mounts import item, mount, mount_failure, objects_of, texts
from harness.clock import UPTIME_S, Clock
from harness.kube import pod, spc
from harness.process import wait_until
from harness.rpc import CODES

HOUR, YEAR = 3600, 365 * 86400
pytestmark = pytest.mark.build("dynamic", reason="clocks are set by LD_PRELOAD, which sanitizers do not bear")


@pytest.fixture
def clock(scratch):
    return Clock(scratch)


@pytest.fixture
def azure(start_azure, clock):
    return start_azure("--republish-cache-ttl=0", env=clock.environment)


# --- tokens ---

@pytest.mark.parametrize("seconds", [2 * HOUR, YEAR, -HOUR, -YEAR])
def test_a_clock_that_is_set_costs_no_new_token(azure, client, emulator, clock, seconds):
    mount(client)
    emulator.reset_counters()
    clock.set_wall(seconds)
    mount(client, pod="second")
    assert (emulator.token_requests, emulator.vault_requests) == (0, 1)


def test_a_token_ends_although_the_clock_went_back(azure, client, emulator, clock):
    """The vault would refuse it: one request more for each mount."""
    emulator.control("POST", "/entra/token-lifetime", {"seconds": 600})
    mount(client)
    clock.set_wall(-HOUR)
    clock.pass_time(601)
    emulator.control("POST", "/entra/revoke-tokens")  # it lives in the emulator's time
    emulator.reset_counters()
    mount(client, pod="second")
    assert (emulator.token_requests, emulator.vault_requests) == (1, 1)


def test_a_token_ends_while_the_machine_sleeps(azure, client, emulator, clock):
    emulator.control("POST", "/entra/token-lifetime", {"seconds": 600})
    mount(client)
    clock.sleep(601)
    clock.set_wall(-HOUR)
    emulator.reset_counters()
    mount(client, pod="second")
    assert (emulator.token_requests, emulator.vault_requests) == (1, 1)


# --- one long Retry-After ---

@pytest.mark.parametrize("service", ["vault", "entra"])
def test_a_retry_after_of_a_week_costs_a_minute(azure, client, emulator, clock, service):
    if service == "vault":
        mount(client)  # the token is there
    emulator.add_fault("status", service=service, status=429, retry_after=604800, count=1)
    assert mount_failure(client, pod="first")[0] == CODES.RESOURCE_EXHAUSTED
    emulator.clear_faults()
    emulator.reset_counters()
    clock.pass_time(55)
    assert mount_failure(client, pod="early", timeout=3)[0] == CODES.RESOURCE_EXHAUSTED
    assert emulator.counters()["by_service"][service] == 0, "the pause was not kept"
    clock.pass_time(6)
    assert texts(mount(client, pod="after"))["secret1"] == tutorial.SECRETS["secret1"]
    assert emulator.counters()["by_service"][service] == 1


# --- rotation ---

def test_rotation_goes_on_whatever_the_clock_does(node, azure, start_driver, emulator, clock):
    node.add_class(text=tutorial.class_with(["secret1"]))
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=60s", env=clock.environment)
    target = node.target()
    request = rpc.publish_request(target, secrets=tutorial.CREDENTIALS)
    driver.publish(request)
    for number, (seconds, then) in enumerate([(HOUR, HOUR), (0, 0), (-HOUR, -HOUR), (0, 0), (YEAR, 0), (-YEAR, 0)]):
        clock.set_wall(seconds)  # a year away the vault's certificate is not valid: what fails then is tried again
        driver.publish(request)
        clock.set_wall(then)
        value = f"value {number}"
        emulator.set_secret("secret1", value)
        for _ in range(2):  # an interval has passed at the second one, whatever the first one made of it
            clock.pass_time(61)
            driver.publish(request)
        assert mounts.contents(target)["secret1"] == value.encode(), f"after the clock was set by {seconds} s"


def test_a_machine_that_slept_reads_classes_and_values_again(start_azure, start_driver, node, emulator, clock):
    """What the driver and the provider had cached. The wall clock, which is set back, does not say how old it is."""
    def set_objects(*names):
        parameters = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(list(names))}
        emulator.put_object("secretproviderclasses", spc(provider="azure", parameters=parameters))
    set_objects("secret1")
    emulator.put_object("pods", pod())
    start_azure("--republish-cache-ttl=60s", env=clock.environment)
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=60s", standalone=False,
                          env=clock.environment)
    target = node.target()
    request = rpc.publish_request(target, secrets=tutorial.CREDENTIALS)
    driver.publish(request)
    clock.pass_time(61)
    driver.publish(request)
    emulator.set_secret("secret1", "changed")
    set_objects("secret1", "secret2")
    clock.sleep(61)
    clock.set_wall(-30)
    driver.publish(request)
    assert mounts.contents(target) == {"secret1": b"changed", "secret2": tutorial.SECRETS["secret2"].encode()}


# --- outage mode ---

@pytest.fixture
def kept(start_azure, clock, emulator):
    """A client of a provider that keeps values for an hour, and has read secret1; the vault is a black hole since."""
    azure = start_azure("--republish-cache-ttl=0", "--serve-stale-max-age=1h", env=clock.environment)
    with rpc.Client(azure.socket) as client:
        emulator.control("POST", "/entra/token-lifetime", {"seconds": 10 * HOUR})
        mount(client)
        emulator.add_fault("blackhole", service="vault")
        yield client


def test_pods_start_during_an_hour_without_the_vault(kept, clock):
    for minute in range(10, 60, 10):
        clock.pass_time(600)
        response = mount(kept, pod=f"pod{minute}", timeout=3)
        assert texts(response) == {"secret1": tutorial.SECRETS["secret1"]}
        assert f"read up to {minute * 6}" in response.warnings[0]
    clock.pass_time(600)
    mount_failure(kept, timeout=1)


@pytest.mark.parametrize("seconds", [HOUR, YEAR])
def test_values_of_a_virtual_machine_that_was_paused_are_older(kept, clock, seconds):
    """Its clocks stand still meanwhile; only the wall clock is put right."""
    mount(kept, timeout=3)
    clock.set_wall(seconds + 2)
    mount_failure(kept, timeout=1)


@pytest.mark.parametrize("wall", [0, -HOUR, -YEAR], ids=["right", "an-hour-back", "a-year-back"])
def test_values_of_a_machine_that_slept_are_older_whatever_its_wall_clock_says(kept, clock, wall):
    mount(kept, timeout=3)
    clock.sleep(HOUR)
    clock.set_wall(wall)
    mount_failure(kept, timeout=1)


def test_a_process_takes_values_over_for_ten_minutes_after_its_start(start_azure, emulator, clock):
    def start(name):
        azure = start_azure("--serve-stale-max-age=1h", env=clock.environment, name=name)
        wait_until(lambda: '"listening"' in azure.log, what="the process to serve")
        return azure
    for seconds, taken in ((590, True), (601, False)):
        old = start(f"old{seconds}")
        with rpc.Client(old.socket) as client:
            mount(client)
        new = start(f"new{seconds}")
        clock.pass_time(seconds)
        old.destroy()
        assert ("given to the next process" in old.log) == taken
        assert taken or "the process started more than 600 s ago" in new.log
        new.destroy()


def test_a_clock_that_is_set_back_does_not_make_them_younger(kept, clock):
    clock.set_wall(-HOUR)
    mount(kept, timeout=3)
    clock.pass_time(HOUR)
    mount_failure(kept, timeout=1)


# --- and the next process ---

@pytest.fixture
def hand_over(start_azure, clock, emulator):
    """hand_over(read, max_age): a client of the process that has taken over what read(client) made the one before read, and that process; the vault
    is a black hole then."""
    clients = []

    def start(max_age, name):
        azure = start_azure("--republish-cache-ttl=0", f"--serve-stale-max-age={max_age}", env=clock.environment, name=name)
        wait_until(lambda: '"listening"' in azure.log, what="the process to serve")
        return azure

    def replace(read, max_age="1h"):
        emulator.control("POST", "/entra/token-lifetime", {"seconds": 10 * HOUR})
        emulator.set_secret("other", "another value")
        old = start(max_age, "old")
        with rpc.Client(old.socket) as client:
            read(client)
        new = start(max_age, "new")
        clients.append(rpc.Client(new.socket))
        mount(clients[0], objects=objects_of(item("other")))  # its token is there, whatever the clock says of Entra's certificate
        old.assert_clean(old.stop())
        emulator.add_fault("blackhole", service="vault")
        return clients[0], new
    yield replace
    for client in clients:
        client.close()


@pytest.mark.parametrize("before, after, left", [
    (-50 * 60, -50 * 60, 60), (0, -9 * HOUR, 60), (40 * 60, 0, 20), (40 * 60, -9 * HOUR, 20)], ids=["before", "after", "slept", "slept-after"])
def test_an_age_goes_on_in_the_next_process_whatever_the_clock_does(hand_over, clock, before, after, left):
    """After half of the age in each of them, by the clock that only counts on. By how much the wall clock was ahead at the handover, which may have
    been a sleep, counts from then on, too."""
    def read(client):
        mount(client)
        clock.set_wall(before)
        clock.pass_time((left // 2) * 60)
    client, _ = hand_over(read)
    clock.set_wall(after)
    clock.pass_time((left // 2 - 1) * 60)
    assert texts(mount(client, timeout=3)) == {"secret1": tutorial.SECRETS["secret1"]}
    clock.set_wall(after)
    clock.pass_time(61)
    mount_failure(client, timeout=1)


def test_a_value_that_is_too_old_for_the_next_process_takes_no_other_with_it(hand_over, clock):
    """One that is older than the machine is up, which cannot be counted on."""
    names = list(tutorial.SECRETS)[:2]

    def read(client):
        mount(client, objects=objects_of(item(names[0])))
        clock.set_wall(UPTIME_S + HOUR)
        mount(client, objects=objects_of(item(names[1])))
    client, new = hand_over(read, max_age="24h")
    assert texts(mount(client, objects=objects_of(item(names[1])), timeout=3)) == {names[1]: tutorial.SECRETS[names[1]]}
    mount_failure(client, objects=objects_of(item(names[0])), timeout=1)
    assert "refused" not in new.log
