"""JSON of a vault that is valid and odd: NUL characters, half surrogate pairs, a megabyte of what nobody needs."""

import json

import pytest

from harness import rpc, tutorial
from harness.azure_mounts import files, item, mount, mount_failure, mount_request, objects_of
from harness.memory import peak_kib
from harness.rpc import CODES

ID = "https://contosokeyvault5.vault.azure.net/secrets/secret1/0123456789abcdef0123456789abcdef"


def respond(emulator, body):
    """The response of the vault to every read."""
    emulator.add_fault("status", service="vault", status=200, body=body)


@pytest.mark.parametrize("text,wanted", [
    (r"a\u0000b", b"a\0b"), (r"\u0000", b"\0"), (r"\u0000\u0000\n", b"\0\0\n"), (r"\ud83d\ude00\u0000", "😀\0".encode()),
    (r"x\ud800", "x\ufffd".encode()), (r"\udc00\ud83d\ude00", "\ufffd😀".encode()), (r"\ud800\ud800\\u0000", "\ufffd\ufffd\\u0000".encode())])
def test_a_value_is_mounted_with_all_its_bytes(client, emulator, text, wanted):
    respond(emulator, f'{{"value":"{text}","id":"{ID}"}}')
    assert files(mount(client)) == {"secret1": wanted}


def test_a_member_of_a_split_value_is_mounted_with_all_its_bytes(client, emulator):
    emulator.set_secret("split", r'{"a":"x\u0000y","b":"\ud800","c":[1,"\u0000"]}')
    got = files(mount(client, objects=objects_of(item("split", objectSplit="json"))))
    assert got == {"split/a": b"x\0y", "split/b": "\ufffd".encode(), "split/c": rb'[1,"\u0000"]'}


@pytest.mark.parametrize("body", ['{"value":"x"', '{"value":"x",}', '{"value":"x","id":"\\u0000"}', '{"value":"\\x"}', '{"value":[' + "1," * 30000 + "1]}"])
def test_a_response_that_cannot_be_used_names_the_object(client, emulator, body):
    respond(emulator, body)
    code, message = mount_failure(client)
    assert code == CODES.FAILED_PRECONDITION and "objectName:secret1" in message, message


@pytest.mark.release_only  # the sanitizer keeps what is freed
@pytest.mark.parametrize("where", ["unneeded", "value", "members", "nested", "error"])
def test_the_memory_of_a_large_response_is_bounded(azure, emulator, where):
    numbers = "[" + "1," * 499_000 + "1]"
    body = {"unneeded": f'{{"x":{numbers},"value":"v","id":"{ID}"}}', "value": f'{{"value":{numbers},"id":"{ID}"}}',
            "members": "{" + ",".join(f'"{number:05}":1' for number in range(95_000)) + f',"value":"v","id":"{ID}"}}',
            "nested": f'{{"x":{{"value":{numbers}}},"value":"v","id":"{ID}"}}', "error": f'{{"error":{numbers}}}'}[where]
    with rpc.Client(azure.socket) as client:
        mount(client)  # token, connections
        before = peak_kib(azure)
        emulator.add_fault("status", service="vault", status=403 if where == "error" else 200, body=body)
        if where in ("value", "error"):
            assert "objectName:secret1" in mount_failure(client)[1]
        else:
            assert files(mount(client, pod="other")) == {"secret1": b"v"}
    assert peak_kib(azure) - before < 2 * len(body) / 1024 + 4096


@pytest.mark.parametrize("key", ["clientsecret", "another"])
def test_a_nul_in_the_pods_secret_names_its_key(azure, key):
    credentials = {**tutorial.CREDENTIALS, key: "a\0b"}
    with rpc.Client(azure.socket) as client:
        code, message = rpc.failure(client.call, rpc.MOUNT, mount_request(credentials=credentials), 30)
    assert code == CODES.INVALID_ARGUMENT and f'value of "{key}" contains a NUL character' in message
    assert "\\u0000" in json.dumps(credentials)
