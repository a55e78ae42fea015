"""Lists of a vault: what the provider keeps of them, and what they cost."""

import json

import pytest

from harness import rpc, tutorial
from harness.azure_mounts import files, item, mount, mount_failure, objects_of
from harness.memory import peak_kib
from harness.rpc import CODES

pytestmark = pytest.mark.release_only  # the sanitizer keeps what is freed

# What a real vault may hold: 25 entries in a page, 15 tags of 256 + 256 characters on each.
FULL_TAGS = {f"{number:02d}" + "n" * 254: "x" * 256 for number in range(15)}


def page(emulator, entries):
    """A page of a list that leads to itself."""
    host = f"https://{tutorial.VAULT.lower()}.vault.localhost:{emulator.tls_port}"
    return json.dumps({"value": [{"id": f"{host}/secrets/s/{number:032x}", "attributes": {"enabled": True, "created": 1, "updated": 1}, **more}
                                 for number, more in enumerate(entries)], "nextLink": f"{host}/secrets/s/versions?api-version=7.4"})


def test_a_long_history_with_full_tags_is_mounted_and_costs_two_pages(azure, emulator):
    for value in ("one", "two", "three"):
        emulator.set_secret("s", value)
    body = page(emulator, [{"tags": FULL_TAGS}] * 25)
    emulator.add_fault("status", service="vault", path_contains="/versions", status=200, body=body, count=300)
    with rpc.Client(azure.socket) as client:
        mount(client)  # token, connections
        before = peak_kib(azure)
        got = files(mount(client, objects=objects_of(item("s", objectVersionHistory=2))))
    assert set(got) == {"s/0", "s/1", "s/2"} and set(got.values()) == {b"one", b"two", b"three"}
    assert peak_kib(azure) - before < 2 * len(body) / 1024 + 4096


def test_selected_objects_keep_only_the_tags_that_are_asked_for(azure, emulator):
    emulator.set_secret("chosen", "value", tags={"env": "prod", **FULL_TAGS})
    body = page(emulator, [{"tags": {"env": "prod", **FULL_TAGS}}] + [{"tags": {"env": "test", **FULL_TAGS}}] * 24)
    emulator.set_secret("s", "value of s", tags={"env": "prod"})
    emulator.add_fault("status", service="vault", path_contains="/secrets?", status=200, body=body, count=1)
    emulator.add_fault("status", service="vault", path_contains="/secrets/s/versions", status=200, body=body, count=300)
    emulator.add_fault("status", service="vault", path_contains="/secrets/s/versions", status=200, body=body.replace('"nextLink"', '"none"'))
    with rpc.Client(azure.socket) as client:
        mount(client)
        before = peak_kib(azure)
        got = files(mount(client, objects=objects_of({"objectType": "secret", "objectNamePattern": "*", "objectTags": "env=prod"})))
    assert got == {"s": b"value of s"}
    assert peak_kib(azure) - before < 2 * len(body) / 1024 + 4096


def test_a_list_without_end_is_given_up(azure, emulator):
    emulator.add_fault("status", service="vault", path_contains="/versions", status=200, body=page(emulator, [{"tags": FULL_TAGS}] * 25))
    with rpc.Client(azure.socket) as client:
        mount(client)
        before = peak_kib(azure)
        code, message = mount_failure(client, objects=objects_of(item("s", objectVersionHistory=2)))
    assert code == CODES.RESOURCE_EXHAUSTED and "more than 10000 entries in a list" in message
    assert peak_kib(azure) - before < 8192


def test_many_long_lists_at_once_are_bounded_in_all(azure, emulator):
    emulator.add_fault("status", service="vault", path_contains="/versions", status=200, body=page(emulator, [{}] * 1000))
    items = [item(f"s{number}", objectVersionHistory=2, objectVersion="nosuch") for number in range(60)]
    with rpc.Client(azure.socket) as client:
        mount(client)
        before = peak_kib(azure)
        code, message = mount_failure(client, objects=objects_of(*items))
        assert code == CODES.RESOURCE_EXHAUSTED and "the long lists of all mounts together have more than" in message
        emulator.clear_faults()
        emulator.set_secret("s", "value")
        assert files(mount(client, objects=objects_of(item("s", objectVersionHistory=2)))) == {"s/0": b"value"}
    assert peak_kib(azure) - before < 24 * 1024  # 8 MiB of long lists, and 32 responses under way
