"""The identity of a mount towards Azure: every mode through the real provider, against an emulator that verifies credentials."""

import base64
import json
import re
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from proto import provider_pb2

from harness import mounts, rpc, tutorial
from harness.azure_mounts import Pods, files, mount_request
from harness.identities import TOKENS, Certificate, Issuer, new_rsa_key, subject_of, tokens_json
from harness.rpc import CODES

APP = "00000000-aaaa-4bbb-8ccc-dddddddddddd"
OTHER_APP = "11111111-aaaa-4bbb-8ccc-dddddddddddd"
SECRET1 = {"secret1": tutorial.SECRETS["secret1"].encode()}


@pytest.fixture
def issuer(emulator):
    made = Issuer()
    made.register(emulator)
    return made


@pytest.fixture
def client(start_azure, emulator):
    azure = start_azure(f"--imds-endpoint=http://127.0.0.1:{emulator.node_port}", f"--nmi-endpoint=http://127.0.0.1:{emulator.node_port}")
    with rpc.Client(azure.socket) as connected:
        connected.azure = azure
        yield connected


def mount(client, credentials=None, timeout=30, names=("secret1",), **attributes):
    return files(client.call(rpc.MOUNT, mount_request(names, credentials, **attributes), timeout))


def failure(client, *arguments, **keywords):
    return rpc.failure(mount, client, *arguments, **keywords)


def federate(emulator, issuer, *subjects, app=APP, audience="api://AzureADTokenExchange", **overrides):
    records = [{"issuer": issuer.url, "subject": subject, "audience": audience, **overrides} for subject in subjects]
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": app, "federated": records})
    allow(emulator, app)


def allow(emulator, app):
    emulator.control("PUT", f"/vaults/{tutorial.VAULT}/policies", {"client_id": app, "permissions": ["get"]})


def workload(token, app=APP, **attributes):
    return {"clientID": app, TOKENS: tokens_json(workload=token), **attributes}


# --- service principal with a certificate ---

@pytest.fixture(scope="module")
def certificate():
    return Certificate()


def register(emulator, *certificates, app=APP, tenant=tutorial.TENANT):
    emulator.control("POST", "/entra/apps", {"tenant": tenant, "client_id": app,
                                             "certificates": [certificate.certificate_pem for certificate in certificates]})
    allow(emulator, app)


@pytest.mark.parametrize("form", ["pem", "pem with a chain", "encrypted pem", "pfx", "pfx with a password", "pem in base64", "line break"])
def test_a_certificate_proves_a_service_principal(client, emulator, certificate, form):
    other = Certificate("other")
    values = {"pem": {"clientcertificate": certificate.pem()},
              "pem with a chain": {"clientcertificate": other.certificate_pem + certificate.pem()},
              "encrypted pem": {"clientcertificate": certificate.pem("geheim"), "clientcertificatepassword": "geheim"},
              "pfx": {"clientcertificate": certificate.pfx()},
              "pfx with a password": {"clientcertificate": certificate.pfx("p\u00e4ssw\u00f6rt"),
                                      "ClientCertificatePassword": "p\u00e4ssw\u00f6rt"},
              "pem in base64": {"clientcertificate": base64.b64encode(certificate.pem().encode()).decode()},
              "line break": {"ClientCertificate": certificate.pfx() + "\n"}}
    register(emulator, certificate)
    assert mount(client, {"clientid": APP, **values[form]}) == SECRET1


def test_an_encrypted_key_of_as_many_rounds_as_are_recommended(client, emulator, certificate):
    key = subprocess.run(["openssl", "pkcs8", "-topk8", "-iter", "600000", "-passout", "pass:geheim"], input=certificate.key_pem().encode(),
                         check=True, capture_output=True).stdout.decode()
    register(emulator, certificate)
    odd = certificate.certificate_pem.replace("\n", " \t\n")
    assert mount(client, {"clientid": APP, "clientcertificate": key + odd, "clientcertificatepassword": "geheim"}, timeout=150) == SECRET1


def test_each_token_request_carries_an_assertion_of_its_own(client, emulator, certificate):
    """The emulator refuses an assertion that it has seen; the second pod has the credential in another form."""
    register(emulator, certificate)
    for _ in range(3):
        assert mount(client, {"clientid": APP, "clientcertificate": certificate.pem()}) == SECRET1
    assert emulator.token_requests == 1, "mounts with the same credential share a token"
    assert mount(client, {"clientid": APP, "clientcertificate": certificate.pem() + "\n\n"}) == SECRET1
    assert emulator.token_requests == 2


def test_after_a_lost_response_the_next_assertion_is_a_new_one(client, emulator, certificate):
    """The emulator has seen the first one and refuses it the second time."""
    register(emulator, certificate)
    emulator.add_fault("truncate", service="entra", count=1)
    assert mount(client, {"clientid": APP, "clientcertificate": certificate.pem()}) == SECRET1
    assert emulator.token_requests == 3


def test_ad_fs_gets_the_older_signature(client, emulator, certificate):
    register(emulator, certificate, tenant="adfs")
    emulator.add_vault("adfsvault", tenant="adfs", client_id=APP, permissions=["get"])
    emulator.set_secret("secret1", "adfs", vault="adfsvault")
    assert mount(client, {"clientid": APP, "clientcertificate": certificate.pem()}, tenantId="adfs",
                 keyvaultName="adfsvault") == {"secret1": b"adfs"}
    assert emulator.requests("entra")[-1]["path"] == "/adfs/oauth2/token"


def test_a_certificate_that_is_not_registered_is_reported(client, emulator, certificate):
    register(emulator, Certificate("registered"))
    code, message = failure(client, {"clientid": APP, "clientcertificate": certificate.pem()})
    assert code == CODES.UNAUTHENTICATED
    assert "AADSTS700030" in message and "registered with the application" in message


@pytest.mark.parametrize("what,expected", [
    ("both", "both clientsecret and clientcertificate are in secrets"),
    ("no key", "clientcertificate: there is no private key in it"),
    ("no certificate", "clientcertificate: there is no certificate in it"),
    ("foreign", "clientcertificate: no certificate in it belongs to the private key"),
    ("elliptic", "clientcertificate: the private key is not an RSA key"),
    ("nonsense", "clientcertificate: it is neither PEM nor PKCS#12 in base64"),
    ("wrong password", "pkcs12: decryption password incorrect"), ("lost lines", "a PEM block is not base64: its line breaks are lost"),
    ("twice", "more than one key named clientcertificate in secrets"),
])
def test_a_certificate_that_cannot_be_used_is_reported_without_a_request(client, emulator, certificate, what, expected):
    elliptic = Certificate("ec", ec.generate_private_key(ec.SECP256R1()))
    values = {"both": {"clientcertificate": certificate.pem(), "clientsecret": "x"},
              "no key": {"clientcertificate": certificate.certificate_pem},
              "no certificate": {"clientcertificate": certificate.key_pem()},
              "foreign": {"clientcertificate": certificate.key_pem() + Certificate("other").certificate_pem},
              "elliptic": {"clientcertificate": elliptic.pem()},
              "nonsense": {"clientcertificate": "hello"},
              "lost lines": {"clientcertificate": certificate.pem().replace("\n", "\\n")},
              "wrong password": {"clientcertificate": certificate.pfx("geheim"), "clientcertificatepassword": "falsch"},
              "twice": {"clientcertificate": certificate.pem(), "clientCertificate": certificate.pem()}}
    code, message = failure(client, {"clientid": APP, **values[what]})
    assert code in (CODES.INVALID_ARGUMENT, CODES.FAILED_PRECONDITION)
    assert expected in message
    assert emulator.token_requests == 0


def test_a_file_that_is_slow_to_open_holds_up_no_other_mount(client, emulator, certificate, scratch):
    """As many rounds of key derivation as GnuTLS asks for: about a second of computing."""
    (scratch / "app.pem").write_text(certificate.pem())
    subprocess.run(["openssl", "pkcs12", "-export", "-in", scratch / "app.pem", "-out", scratch / "app.pfx", "-passout", "pass:geheim",
                    "-iter", "600000", "-maciter"], check=True)
    register(emulator, certificate)
    slow = {"clientid": APP, "clientcertificate": base64.b64encode((scratch / "app.pfx").read_bytes()).decode(),
            "clientcertificatepassword": "geheim"}
    mount(client, tutorial.CREDENTIALS)
    results = []
    thread = threading.Thread(target=lambda: results.append(mount(client, slow, timeout=150)))
    thread.start()
    others = 0
    while thread.is_alive():
        mount(client, tutorial.CREDENTIALS)
        others += 1
    thread.join()
    assert results == [SECRET1]
    assert others >= 10


# --- workload identity ---

@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_a_service_account_token_proves_a_workload_identity(client, emulator, algorithm):
    issuer = Issuer(algorithm=algorithm)
    issuer.register(emulator)
    federate(emulator, issuer, subject_of("default", "web"))
    assert mount(client, **workload(issuer.token(subject_of("default", "web")))) == SECRET1


def test_tokens_may_come_with_the_secret(client, emulator, issuer):
    federate(emulator, issuer, subject_of("default", "web"))
    tokens = {TOKENS: tokens_json(workload=issuer.token(subject_of("default", "web")))}
    assert mount(client, tokens, clientID=APP) == SECRET1


SUBJECT = subject_of("default", "web")


@pytest.mark.parametrize("what,number,hint", [
    ("issuer", 700211, "OIDC issuer URL"),
    ("subject", 700213, "namespace and service account"),
    ("audience", 700212, "audience"),
    ("none", 70021, "no federated credential"),
    ("expired", 700024, "outside its validity"),
    ("early", 700024, "outside its validity"),
    ("signature", 50013, "assertion is not accepted"),
    ("malformed", 50027, "malformed"),
    ("application", 700016, "clientid and tenantID"),
])
def test_an_assertion_that_entra_refuses_shows_number_and_hint(client, emulator, issuer, what, number, hint):
    token = issuer.token(SUBJECT)
    if what == "none":
        emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP})
    else:
        federate(emulator, issuer, SUBJECT)
    if what == "issuer":
        token = issuer.token(SUBJECT, iss="https://other.example/")
    elif what == "subject":
        token = issuer.token(subject_of("default", "other"))
    elif what == "audience":  # the kubelet's JSON says one thing, the token another
        token = issuer.token(SUBJECT, audience="sts.example")
    elif what == "expired":
        token = issuer.token(SUBJECT, begin=-7200)
    elif what == "early":
        token = issuer.token(SUBJECT, begin=3600)
    elif what == "signature":
        token = Issuer(key=new_rsa_key()).token(SUBJECT)
    elif what == "malformed":
        token = "not.a.token"
    app = OTHER_APP if what == "application" else APP
    code, message = failure(client, **workload(token, app=app))
    assert code == CODES.UNAUTHENTICATED
    assert f"AADSTS{number}" in message and hint in message
    assert token not in message
    assert emulator.token_requests == 1, "asking again would not help"


def test_pods_of_different_service_accounts_never_share_a_token(client, emulator, issuer):
    federate(emulator, issuer, subject_of("default", "web"))
    assert mount(client, **workload(issuer.token(subject_of("default", "web")))) == SECRET1
    # the same parameters, another account: neither token nor content of the first are within reach
    code, message = failure(client, **workload(issuer.token(subject_of("default", "thief"))))
    assert code == CODES.UNAUTHENTICATED and "AADSTS700213" in message
    stolen = issuer.token(subject_of("default", "web"), begin=-7200)
    code, message = failure(client, **workload(stolen))
    assert code == CODES.UNAUTHENTICATED and "AADSTS700024" in message
    request = provider_pb2.MountRequest(
        attributes=json.dumps(tutorial.attributes(("secret1",), **workload(issuer.token(subject_of("default", "thief"))))),
        secrets="{}", target_path="/none", permission="420",
        current_object_version=[provider_pb2.ObjectVersion(id="secret/secret1", version="x")])
    code, _ = rpc.failure(client.call, rpc.MOUNT, request, 30)
    assert code == CODES.UNAUTHENTICATED, "a republish too"


def test_pods_of_one_identity_cost_a_token_each_and_share_their_reads(client, emulator, issuer):
    """Each has a service account token of its own, as the kubelet makes them; all are republishes."""
    subject = subject_of("default", "web")
    federate(emulator, issuer, subject)
    requests = [mount_request(pod=f"web-{i}", credentials={}, versions=[("secret/secret1", "x")], clientID=APP,
                              **{TOKENS: tokens_json(workload=issuer.token(subject, jti=f"pod-{i}"))}) for i in range(20)]
    with Pods(client.azure.socket, in_flight=1) as pods:
        for tokens, reads in ((20, 1), (0, 0)):
            emulator.reset_counters()
            pods.mount_all(requests)
            assert (emulator.token_requests, emulator.vault_requests) == (tokens, reads)


def test_one_assertion_is_exchanged_once_and_another_one_again(client, emulator, issuer):
    federate(emulator, issuer, SUBJECT)
    first, second = issuer.token(SUBJECT), issuer.token(SUBJECT)
    for _ in range(10):
        assert mount(client, **workload(first)) == SECRET1
    assert emulator.token_requests == 1
    assert mount(client, **workload(second)) == SECRET1
    assert emulator.token_requests == 2, "what was not verified by Entra proves nothing"


# --- VM managed identity ---

def set_node(emulator, system=APP, user=(), **more):
    emulator.set_imds(system, user, **more)


VM = {"useVMManagedIdentity": "true"}


@pytest.mark.parametrize("times", ["string", "number", "date", "short"])
def test_the_system_assigned_identity_of_the_node_mounts(client, emulator, times):
    set_node(emulator, times=times)
    allow(emulator, APP)
    for _ in range(5):
        assert mount(client, **VM) == SECRET1
    requests = emulator.requests("imds")
    assert [request["status"] for request in requests] == [200], "one request serves all"
    assert "api-version=2018-02-01" in requests[0]["path"] and "client_id" not in requests[0]["path"]
    assert requests[0]["headers"] == {"Metadata": "true"}


def test_a_user_assigned_identity_is_chosen_by_its_client_id(client, emulator):
    set_node(emulator, user=[OTHER_APP])
    allow(emulator, OTHER_APP)
    assert mount(client, userAssignedIdentityID=OTHER_APP, **VM) == SECRET1
    assert emulator.requests("imds")[0]["client_id"] == OTHER_APP


@pytest.mark.parametrize("system,user,named,texts", [
    (APP, [], OTHER_APP, ["the requested identity isn't assigned to this resource", "Identity not found"]),
    (None, [], None, ["failed to authenticate a system assigned identity", "Identity not found"]),
    (None, [APP, OTHER_APP], None, ["Multiple user assigned identities", "set userAssignedIdentityID"]),
])
def test_an_identity_that_the_node_lacks_is_reported_at_once(client, emulator, system, user, named, texts):
    set_node(emulator, system=system, user=user)
    code, message = failure(client, userAssignedIdentityID=named, **VM)
    assert code == CODES.UNAUTHENTICATED
    for text in texts:
        assert text in message
    assert len(emulator.requests("imds")) == 1


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
def test_a_passing_weakness_of_imds_is_waited_out(client, emulator, status):
    set_node(emulator)
    allow(emulator, APP)
    emulator.add_fault("status", service="imds", status=status, count=1, retry_after=0 if status >= 500 else 1)
    assert mount(client, **VM) == SECRET1
    requests = emulator.requests("imds")
    assert [request["status"] for request in requests] == [status, 200]
    if status >= 500:
        assert requests[1]["time"] - requests[0]["time"] >= 1.0, "IMDS asks for a second before a 5xx is repeated"


def test_a_deaf_imds_costs_no_more_than_the_callers_time(client, emulator):
    set_node(emulator)
    emulator.add_fault("blackhole", service="imds")
    code, message = failure(client, timeout=3, **VM)
    assert code == CODES.DEADLINE_EXCEEDED
    assert "failed to mount objects" in message, "the provider responds before the caller gives up"


# --- pod identity ---

POD = {"usePodIdentity": "true"}


def bind(emulator, pod="web", app=APP, **more):
    emulator.bind_pod("default", pod, app, **more)


@pytest.mark.parametrize("times", ["string", "number", "empty"])
def test_a_pod_gets_the_identity_it_is_bound_to(client, emulator, times):
    bind(emulator, times=times)
    allow(emulator, APP)
    for _ in range(3):
        assert mount(client, **POD) == SECRET1
    assert [request["headers"] for request in emulator.requests("nmi")] == [{"podname": "web", "podns": "default"}]


def test_a_node_without_nmi_is_reported_at_once(start_azure):
    with socket.socket() as bound:  # and nothing listens there
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with rpc.Client(start_azure(f"--nmi-endpoint=http://127.0.0.1:{port}").socket) as client:
            code, message = failure(client, **POD)
    assert code == CODES.UNAVAILABLE
    assert re.search(rf"no response from NMI \[hint: .*hostNetwork\)\]: connect to 127\.0\.0\.1:{port}: Connection refused", message)


def test_a_pod_without_an_identity_is_reported(client, emulator):
    code, message = failure(client, **POD)
    assert code == CODES.UNAVAILABLE
    assert "nmi response failed with status code: 404, response body: getting assigned identities" in message
    assert "aadpodidbinding" in message
    bind(emulator)
    allow(emulator, APP)
    assert mount(client, **POD) == SECRET1, "a failure is not remembered"


def test_a_new_pod_of_an_old_name_requests_a_new_token(client, emulator):
    bind(emulator)
    allow(emulator, APP)
    assert mount(client, **POD) == SECRET1
    emulator.unbind_pod("default", "web")
    assert mount(client, **POD) == SECRET1, "the pod that proved itself is still served"
    code, _ = failure(client, **{"csi.storage.k8s.io/pod.uid": "another", **POD})
    assert code == CODES.UNAVAILABLE


def test_pods_of_other_names_request_their_own_tokens(client, emulator):
    bind(emulator)
    allow(emulator, APP)
    assert mount(client, **POD) == SECRET1
    code, _ = failure(client, **{"csi.storage.k8s.io/pod.name": "other", **POD})
    assert code == CODES.UNAVAILABLE


def test_nmi_may_take_its_time_but_not_more_than_the_caller_has(client, emulator):
    bind(emulator)
    allow(emulator, APP)
    emulator.add_fault("latency", service="nmi", latency_ms=3000, count=1)
    assert mount(client, **POD) == SECRET1
    emulator.control("POST", "/entra/revoke-tokens")
    emulator.add_fault("blackhole", service="nmi")
    code, message = failure(client, timeout=2, **{"csi.storage.k8s.io/pod.uid": "another", **POD})
    assert code == CODES.DEADLINE_EXCEEDED and "failed to mount objects" in message


# --- the emulator refuses wrong credentials ---

def send_request(url, headers=None, body=None, context=None):
    """(status, text)"""
    request = urllib.request.Request(url, headers=headers or {}, data=None if body is None else urllib.parse.urlencode(body).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_node_serves_only_requests_with_the_required_header(emulator):
    node = f"http://127.0.0.1:{emulator.node_port}"
    resource = urllib.parse.quote(f"https://vault.localhost:{emulator.tls_port}", safe="")
    imds = f"{node}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}"
    set_node(emulator)
    bind(emulator)
    metadata = {"Metadata": "true"}
    assert send_request(imds, metadata)[0] == 200
    assert send_request(imds)[0] == 400 and "bad_request_102" in send_request(imds)[1]
    assert send_request(imds.replace("2018-02-01", "2017-09-01"), metadata)[0] == 400
    assert send_request(imds.replace("vault", "storage"), metadata)[0] == 400
    assert send_request(imds, {"Via": "1.1 proxy", **metadata})[0] == 403
    nmi = f"{node}/host/token/?resource={resource}"
    assert send_request(nmi, {"podname": "web", "podns": "default"})[0] == 200
    assert send_request(nmi, {"podname": "web"})[0] == 400
    assert send_request(nmi, {"podname": "web", "podns": "other"})[0] == 404
    assert send_request(f"{node}/host/token?resource={resource}", {"podname": "web", "podns": "default"})[0] == 404


@pytest.mark.parametrize("what,number", [("good", None), ("old signature", None), ("replayed", 50013), ("no id", 50013), ("audience", 700023),
                                         ("subject", 700021), ("expired", 700024), ("too long", 700024), ("unsigned", 50027),
                                         ("other key", 700027), ("other certificate", 700030)])
def test_entra_verifies_what_an_application_signs(emulator, certificate, what, number):
    register(emulator, certificate)
    url = f"https://login.localhost:{emulator.tls_port}/{tutorial.TENANT}/oauth2/v2.0/token"
    claims = {"no id": {"jti": ""}, "subject": {"sub": OTHER_APP}, "expired": {"begin": -900}, "too long": {"lifetime": 3600}}.get(what, {})
    signer = certificate if what != "other certificate" else Certificate("other")
    token = signer.assertion(APP, url if what != "audience" else url + "x", "RS256" if what == "old signature" else "PS256", **claims)
    if what == "other key":
        token = token.rsplit(".", 1)[0] + "." + Certificate("other").assertion(APP, url).rsplit(".", 1)[1]
    elif what == "unsigned":
        token = token.rsplit(".", 1)[0]
    body = {"grant_type": "client_credentials", "client_id": APP, "scope": f"https://vault.localhost:{emulator.tls_port}/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": token}
    context = ssl.create_default_context(cafile=str(emulator.directory / "ca.pem"))
    context.check_hostname = False  # the name does not resolve everywhere
    direct = url.replace("login.localhost", "127.0.0.1")
    headers = {"Host": f"login.localhost:{emulator.tls_port}"}
    status, text = send_request(direct, headers, body, context)
    if what == "replayed":
        assert status == 200
        status, text = send_request(direct, headers, body, context)
    assert (status == 200) == (number is None), text
    if number is not None:
        assert f"AADSTS{number}:" in text


# --- through the driver, as a pod has it ---

def test_a_pod_mounts_with_its_own_service_account(node, start_driver, start_azure, emulator, issuer):
    federate(emulator, issuer, SUBJECT)
    driver, _ = start_driver(), start_azure()
    node.add_class("workload", text=tutorial.class_with(["secret1"], name="workload", extra=f"    clientID: {APP}\n"))
    target = node.target()
    tokens = {TOKENS: tokens_json(workload=issuer.token(SUBJECT))}
    driver.publish(rpc.publish_request(target, class_name="workload", attributes=tokens))
    assert mounts.contents(target) == SECRET1
    driver.unpublish(rpc.unpublish_request(target))
    thief = {TOKENS: tokens_json(workload=issuer.token(subject_of("default", "thief")))}
    code, message = driver.publish_failure(rpc.publish_request(target, class_name="workload", attributes=thief))
    assert "AADSTS700213" in message
    mounts.assert_no_trace(target)


def test_a_pod_mounts_with_the_certificate_of_its_secret(node, start_driver, start_azure, emulator, certificate):
    register(emulator, certificate)
    driver, _ = start_driver(), start_azure()
    node.add_class(text=tutorial.class_with(["secret1"]))
    target = node.target()
    credentials = {"clientid": APP, "clientcertificate": certificate.pfx("geheim"), "clientcertificatepassword": "geheim"}
    driver.publish(rpc.publish_request(target, secrets=credentials))
    assert mounts.contents(target) == SECRET1
    driver.unpublish(rpc.unpublish_request(target))


# --- no secret is visible ---

def test_no_credential_and_no_token_is_ever_logged(node, start_azure, emulator, issuer, certificate):
    federate(emulator, issuer, SUBJECT, app=OTHER_APP)
    register(emulator, certificate)
    set_node(emulator)
    bind(emulator)
    good, bad = issuer.token(SUBJECT), issuer.token(subject_of("default", "thief"))
    key_lines = [line for line in certificate.key_pem().splitlines() if not line.startswith("-")]
    azure = start_azure("-v=10", f"--imds-endpoint=http://127.0.0.1:{emulator.node_port}",
                        f"--nmi-endpoint=http://127.0.0.1:{emulator.node_port}")
    messages = []
    with rpc.Client(azure.socket) as client:
        mount(client, **workload(good, app=OTHER_APP))
        mount(client, {"clientid": APP, "clientcertificate": certificate.pem()})
        mount(client, {"clientid": APP, "clientcertificate": certificate.pfx("wonderful-password"),
                       "clientcertificatepassword": "wonderful-password"})
        mount(client, **VM)
        mount(client, **POD)
        messages.append(failure(client, **workload(bad, app=OTHER_APP))[1])
        messages.append(failure(client, {"clientid": APP, "clientcertificate": certificate.key_pem()})[1])
        messages.append(failure(client, {"clientid": APP, "clientcertificate": certificate.pfx("wonderful-password"),
                                         "clientcertificatepassword": "wrong-password"})[1])
        for kind in ("garbage", "truncate", "reset"):
            emulator.add_fault(kind, service="any", count=1)
            messages.append(failure(client, timeout=4, **workload(issuer.token(SUBJECT, iss=kind), app=OTHER_APP))[1])
    azure.destroy()
    seen = azure.log + "\n".join(messages)
    assert "mounted" in azure.log or len(azure.log) > 1000, "nothing was logged: this test would prove nothing"
    for token in (good, bad):
        for part in token.split("."):
            assert part not in seen
    for text in (*key_lines, "wonderful-password", "wrong-password", certificate.pfx()[40:80], "eyJ"):
        assert text not in seen
    assert base64.b64encode(b"wonderful-password").decode() not in seen


@pytest.mark.parametrize("quoted", ["{}", "{:.10}...", "...{0}!{0}"])
def test_a_client_secret_that_entra_quotes_is_in_no_error_and_no_log(client, emulator, quoted):
    secret = tutorial.CREDENTIALS["clientsecret"]
    body = {"error": "invalid_client", "error_description": f"AADSTS7000215: Invalid secret '{quoted.format(secret)}' sent."}
    emulator.add_fault("status", service="entra", status=401, body=json.dumps(body))
    code, message = failure(client, tutorial.CREDENTIALS)
    assert code == CODES.UNAUTHENTICATED and "AADSTS7000215" in message and "[redacted]" in message
    assert secret[:10] not in message and secret[:10] not in client.azure.log
