"""The daemons wipe secrets: their memory is searched for every secret they had, once it is no longer needed."""

import base64
import json
import secrets as random_source
from pathlib import Path

import pytest
from grpc import RpcError

from harness import tutorial
from harness.azure_mounts import Pods, mount_request
from harness.clock import CLOCKS_CAN_BE_SET, Clock
from harness.identities import TOKENS, Certificate, Issuer, subject_of, tokens_json
from harness.memory import memory_contains, traces
from harness.process import wait_until
from harness.scripted_provider import mount_response
from harness.secret_sync import ROTATE, secret_object

# A sanitizer keeps what libraries free.
pytestmark = pytest.mark.release_only

KEPT_S = 90  # how long an idle connection is kept, and with it what libcurl has read last
APP = "00000000-aaaa-4bbb-8ccc-dddddddddddd"
WORKLOAD = "22222222-aaaa-4bbb-8ccc-dddddddddddd"
OBJECTS = """\
array:
  - |
    objectName: secret1
    objectType: secret
  - |
    objectName: members
    objectType: secret
    objectSplit: json
  - |
    objectName: converted
    objectType: secret
    objectFormat: pfx
  - |
    objectName: decoded
    objectType: secret
    objectEncoding: base64
  - |
    objectName: file-password
    objectType: secret
    objectHidden: true
  - |
    format: pkcs12
    certificate: converted
    password: file-password
    objectAlias: converted.p12
"""
# What passes through HTTP/2 frames. libcurl hands nghttp2 its allocator, which wipes; that of Debian 12 does not yet.
FROM_THE_CLOUD = {"a secret", "a member of JSON", "base64 inside", "a key from the vault", "a token", "the client secret",
                  "a wrong client secret", "the service account token", "the password of a written file"}
SYNCED = {"a secret", "a rotated secret", "a private key"}


def wipes_frames(process):
    """True for the static build and for a libcurl that uses the function with an allocator."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    libraries = {line.split()[-1] for line in maps.splitlines() if "/libcurl" in line}
    return all(b"nghttp2_session_client_new3" in Path(library).read_bytes() for library in libraries)


def canary():
    return "C9" + random_source.token_hex(24)


def key_traces(certificate):
    """Its private key as text, as DER and as the numbers in it, in both orders of bytes."""
    numbers = certificate.key.private_numbers()
    found = traces("".join(certificate.key_pem().splitlines()[2:-1]))  # the first line is the same for all keys
    for number in (numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp):
        for order in ("big", "little"):
            found |= traces(number.to_bytes((number.bit_length() + 7) // 8, order))
    return found


def kept(process, wanted):
    """The labels of `wanted` ({label: needles}) of which something is in the memory of the process."""
    found = memory_contains(process.pid, set().union(*wanted.values()))
    return {label for label, needles in wanted.items() if needles & found}


@pytest.fixture
def clock(scratch):
    """None where a program's clock cannot be set."""
    return Clock(scratch) if CLOCKS_CAN_BE_SET else None


def wait_for_idle_connections_to_be_closed(program, emulator, clock):
    if clock is not None:
        clock.pass_time(KEPT_S)

    def closed():
        program.metrics()  # a program that waits does not read a clock that jumps
        return emulator.counters()["connections_open"] == 0
    wait_until(closed, timeout=KEPT_S + 60, what="the idle connections to be closed", pause=0.1)


@pytest.mark.slow  # connections are kept that long where the clock cannot be set
def test_the_provider_forgets_contents_credentials_and_tokens(start_azure, emulator, clock):
    values = {label: canary() for label in ("a secret", "a member of JSON", "base64 inside", "the client secret", "a wrong client secret",
                                            "the password of a PKCS#12 file", "the password of a PEM file", "tokens that are no JSON",
                                            "the password of a written file")}
    app, served, issuer = Certificate(), Certificate("served"), Issuer()
    issuer.register(emulator)
    subject = subject_of("default", "web")
    emulator.add_app(tutorial.TENANT, tutorial.CLIENT_ID, values["the client secret"])
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "certificates": [app.certificate_pem]})
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": WORKLOAD, "federated": [
        {"issuer": issuer.url, "subject": subject, "audience": "api://AzureADTokenExchange"}]})
    for client in (APP, WORKLOAD):
        emulator.set_policy(client_id=client, permissions=["get"])
    emulator.control("POST", "/entra/token-lifetime", {"seconds": 30})
    emulator.set_secret("secret1", values["a secret"])
    emulator.set_secret("members", json.dumps({"a": values["a member of JSON"], "b": {"c": values["a member of JSON"]}}))
    emulator.set_secret("decoded", base64.b64encode(values["base64 inside"].encode()).decode())
    emulator.set_secret("converted", served.pem(), contentType="application/x-pem-file")
    emulator.set_secret("file-password", values["the password of a written file"])
    assertion = issuer.token(subject)
    azure = start_azure("-v=10", "--republish-cache-ttl=1s", env=clock and clock.environment)

    def request(credentials, **more):
        return mount_request(objects=OBJECTS, credentials=credentials, **more)
    wrong = values["a wrong client secret"]
    passwords = values["the password of a PKCS#12 file"], values["the password of a PEM file"]
    principal = {"clientid": tutorial.CLIENT_ID, "clientsecret": values["the client secret"]}
    good = [request(principal),
            request(principal, versions=[("secret/secret1", "old")]),
            request({"clientid": APP, "clientcertificate": app.pfx(passwords[0]), "clientcertificatepassword": passwords[0]}),
            request({"clientid": APP, "clientcertificate": app.pem(passwords[1]), "clientcertificatepassword": passwords[1]}),
            request({}, clientID=WORKLOAD, **{TOKENS: tokens_json(workload=assertion)})]
    bad = [request({**principal, "clientsecret": wrong}),
           request({"clientid": APP, "clientcertificate": app.pfx(passwords[0]), "clientcertificatepassword": wrong}),
           request({}, clientID=WORKLOAD, **{TOKENS: values["tokens that are no JSON"]})]
    with Pods(azure.socket) as pods:
        pods.mount_all(good)
        assert all(isinstance(outcome, RpcError) for outcome in pods.call_all(bad))

    # "eyJ0eXA" and "eyJhbGc" begin the emulator's tokens, the service account's and assertions
    wanted = {**{label: traces(value) for label, value in values.items()}, "a token": {b"eyJ0eXA", b"eyJhbGc"},
              "the service account token": traces(assertion.split(".")[2]), "the application's key": key_traces(app),
              "a key from the vault": key_traces(served)}
    assert "a token" in kept(azure, wanted), "tokens are still good: the means do not work"
    wait_for_idle_connections_to_be_closed(azure, emulator, clock)
    assert kept(azure, wanted) - (set() if wipes_frames(azure) else FROM_THE_CLOUD) == set()


@pytest.mark.slow  # as above
def test_the_driver_forgets_contents_credentials_and_conversions(synced, scripted, emulator, clock):
    values = {label: canary() for label in ("a secret", "a rotated secret", "the client secret", "the service account token",
                                            "a file that is refused")}
    bundle = Certificate("bundle")
    files = {"file": values["a secret"].encode(), "bundle.pem": bundle.pem().encode(), "bundle.pfx": base64.b64decode(bundle.pfx())}
    provider = scripted(lambda request, context: mount_response(dict(files)))
    synced.add_class(secret_object(), *(secret_object(form, type_="kubernetes.io/tls", data=[
        (f"bundle.{form}", "tls.crt"), (f"bundle.{form}", "tls.key")]) for form in ("pem", "pfx")))
    synced.start("-v=10", *ROTATE, env=clock and clock.environment)
    request = synced.request()
    request.secrets["clientsecret"] = values["the client secret"]
    request.volume_context[TOKENS] = tokens_json(workload=values["the service account token"])
    synced.driver.publish(request)
    assert b"PRIVATE KEY" in synced.data("pem")["tls.key"] and synced.data("pem") == synced.data("pfx")
    files["file"] = values["a rotated secret"].encode()
    synced.check_rotation(request, provider, 2)
    wait_until(lambda: synced.data()["key"] == files["file"], what="the rotated Secret")
    files["../file"] = values["a file that is refused"].encode()
    synced.check_rotation(request, provider, 1)
    synced.unpublish(request)

    wanted = {**{label: traces(value) for label, value in values.items()}, "a private key": key_traces(bundle)}
    assert memory_contains(synced.driver.pid, {b"azure-kvname"}), "the means do not work"
    wait_for_idle_connections_to_be_closed(synced.driver, emulator, clock)
    assert kept(synced.driver, wanted) - (set() if wipes_frames(synced.driver) else SYNCED) == set()
