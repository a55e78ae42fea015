"""secrets-store-ctl when something is wrong: bad arguments and files, failing calls, unusual responses; texts and exit statuses."""

import itertools
import json
import os
import threading

import pytest
from proto import csi_pb2, health_pb2, provider_pb2

from harness import rpc
from harness.canned_server import CannedServer
from harness.ctl import BAD_USAGE, FAILED_CALL, FAILED_HERE, ctl
from harness.fixtures import starter
from harness.process import free_port
from harness.rpc import CODES
from harness.scripted_provider import mount_response

IDENTITY, NODE, PROVIDER = "/csi.v1.Identity/", "/csi.v1.Node/", "/v1alpha1.CSIDriverProvider/"
HEALTH = "/grpc.health.v1.Health/Check"
INFO = {
    IDENTITY + "GetPluginInfo": csi_pb2.GetPluginInfoResponse(name="plugin", vendor_version="v1"),
    NODE + "NodeGetInfo": csi_pb2.NodeGetInfoResponse(node_id="node"),
    IDENTITY + "GetPluginCapabilities": csi_pb2.GetPluginCapabilitiesResponse(),
    NODE + "NodeGetCapabilities": csi_pb2.NodeGetCapabilitiesResponse(),
}
VOLUME = ("--volume-id=v", "--target=/none/mount")
PATH_MAX = 4096


@pytest.fixture
def canned(scratch):
    """canned(responses): a server; returns its socket."""
    numbers = itertools.count()
    for start in starter(lambda responses: CannedServer(scratch / f"{next(numbers)}.sock", responses), end="stop"):
        yield lambda responses: start(responses).path


def failed_here(done, *texts):
    assert (done.returncode, done.stdout) == (FAILED_HERE, ""), done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert all(text in done.stderr for text in texts), done.stderr


# ---- usage -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, text", [
    ([], "usage: secrets-store-ctl COMMAND"),
    (["nonsense"], "unknown command 'nonsense'"),
    (["publish", "--nonsense"], "nonsense"),
    (["probe", "word"], "unexpected word 'word'"),
    (["publish", "--attribute"], "flag needs an argument: -attribute"),
    (["publish", "-secret-file"], "flag needs an argument: -secret-file"),
    (["mount", "--token-file"], "flag needs an argument: -token-file"),
    (["probe", "--timeout=soon"], "soon"),
    (["probe", "--timeout=0"], "timeout"),
    (["publish", "--", "--attribute=a=b"], "unexpected word '--attribute=a=b'"),
], ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "")
def test_bad_usage(words, text):
    done = ctl(*words, check=False)
    assert (done.returncode, done.stdout) == (BAD_USAGE, "") and text in done.stderr, done
    if words and words[0] in ("publish", "probe", "mount"):
        assert f"Try 'secrets-store-ctl {words[0]} --help'" in done.stderr


@pytest.mark.parametrize("words", [["help"], ["-h"], ["-help"], ["--help"], ["publish", "--help"], ["mount", "-h"]], ids=" ".join)
def test_help_goes_to_standard_output(words):
    done = ctl(*words)
    assert done.stderr == "" and ("--endpoint" in done.stdout or "COMMAND" in done.stdout)
    assert len(words) == 1 or f"secrets-store-ctl {words[0]}: " in done.stdout and f"Usage of secrets-store-ctl {words[0]}:\n" in done.stdout


@pytest.mark.parametrize("word", ["--version", "-version"])
def test_the_version_is_printed(word):
    assert ctl(word).stdout.startswith("secrets-store-ctl ")


# ---- arguments and files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, text", [
    (["publish"], "--volume-id, or --pod-uid and --volume, is required"),
    (["publish", "--pod-uid=u", "--volume="], "--volume-id, or --pod-uid and --volume, is required"),
    (["unpublish", "--volume-id=v"], "--target, or --kubelet-dir with --pod-uid and --volume, is required"),
    (["stats", "--pod-uid=u", "--kubelet-dir="], "--target, or --kubelet-dir with --pod-uid and --volume, is required"),
    (["stats", "--volume-id", "v" * PATH_MAX, "--target=/t"], "--volume-id is too long"),
    (["stats", "--volume-id=v", "--target", "/" + "t" * PATH_MAX], "--target is too long"),
    (["stats", "--pod-uid", "u" * 1024], "--pod-uid or --volume is too long"),
    (["stats", "--pod-uid=u", "--kubelet-dir", "/" + "k" * PATH_MAX], "--kubelet-dir is too long"),
    (["publish", *VOLUME, "--attribute", "word"], "--attribute needs key=value, not 'word'"),
    (["publish", *VOLUME, "-attribute==value"], "--attribute needs key=value, not '=value'"),
    (["publish", *VOLUME, "--secret-file=word"], "--secret-file needs key=value, not 'word'"),
    (["publish", *VOLUME, "--token-file=word"], "--token-file needs key=value, not 'word'"),
    (["mount", "--permission="], "--permission '' is not an octal mode up to 0777"),
    (["mount", "--permission=0999"], "--permission '0999' is not an octal mode up to 0777"),
    (["mount", "--permission=1000"], "--permission '1000' is not an octal mode up to 0777"),
    (["mount", "--permission=-1"], "--permission '-1' is not an octal mode up to 0777"),
    (["mount", "--attribute=word"], "--attribute needs key=value, not 'word'"),
    (["mount", "--token-file=word"], "--token-file needs key=value, not 'word'"),
    (["mount", "--secret-file=word"], "--secret-file needs key=value, not 'word'"),
    (["probe", "--endpoint=http://localhost"], "invalid endpoint: http://localhost"),
    (["diagnose"], "POD is required, or --pod-uid without the Kubernetes API"),
], ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "")
def test_missing_and_malformed_flags_are_bad_usage_and_named_before_any_call(words, text):
    done = ctl(*words, check=False)
    assert (done.returncode, done.stdout) == (BAD_USAGE, "") and done.stderr.startswith("error: INVALID_ARGUMENT: ") and text in done.stderr, done


@pytest.mark.parametrize("words, text", [
    (["probe", "--host-root={scratch}"], "no socket of a CSI driver here, name it with --endpoint: {scratch}/var/lib/kubelet/plugins/"),
    (["version", "--host-root={scratch}"], "no socket of a provider here, name it with --endpoint: {scratch}/etc/kubernetes/"),
    (["probe", "--host-root", "/" + "r" * PATH_MAX], "is too long"),
    (["publish", *VOLUME, "--secret-file", "a={scratch}/none"], "{scratch}/none"),
    (["publish", *VOLUME, "--secret-file", "a={scratch}/nul"], "secret file '{scratch}/nul' contains a NUL byte"),
    (["publish", *VOLUME, "--secrets-dir", "{scratch}/none"], "secrets directory '{scratch}/none'"),
    (["publish", *VOLUME, "--secrets-dir", "{scratch}/secrets"], "secrets directory '{scratch}/secrets': secret file 'nul' contains a NUL byte"),
    (["publish", *VOLUME, "--token-file", "a={scratch}/none"], "{scratch}/none"),
    (["publish", "--pod-uid=u", "--kubelet-dir", "{scratch}/nul"], "{scratch}/nul/pods"),
    (["mount", "--class", "{scratch}/none"], "{scratch}/none"),
    (["mount", "--class", "{scratch}/other.yaml"], "class file '{scratch}/other.yaml' holds no SecretProviderClass"),
    (["mount", "--class", "{scratch}/bare.yaml"], "the class has no spec.parameters mapping"),
    (["mount", "--class", "{scratch}/list.yaml"], "line 4: parameter 'a' is a"),
    (["mount", "--class", "{scratch}/broken.yaml"], "class file '{scratch}/broken.yaml'"),
], ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "")
def test_files_and_sockets_that_cannot_be_used_are_named_before_any_call(scratch, words, text):
    kind = "kind: SecretProviderClass\n"
    (scratch / "secrets").mkdir()
    for name, content in {"nul": "a\0b", "secrets/nul": "a\0b", "secrets/.hidden": "a\0b", "other.yaml": "kind: Pod\n", "bare.yaml": kind,
                          "list.yaml": f"{kind}spec:\n  parameters:\n    a: [1]\n", "broken.yaml": f"{kind}spec: [\n"}.items():
        (scratch / name).write_text(content)
    done = ctl(*(word.replace("{scratch}", str(scratch)) for word in words), check=False)
    failed_here(done, text.replace("{scratch}", str(scratch)))


def test_an_error_as_json_has_code_number_and_message():
    done = ctl("probe", "--json", "--endpoint=http://x", check=False)
    assert (done.returncode, done.stdout) == (BAD_USAGE, "")
    assert json.loads(done.stderr) == {"error": {"code": "INVALID_ARGUMENT", "number": 3, "message": "Probe: invalid endpoint: http://x"}}


# ---- calls that fail ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, method", [
    (["info"], "GetPluginInfo"), (["probe"], "Probe"), (["publish", *VOLUME], "NodePublishVolume"), (["unpublish", *VOLUME], "NodeUnpublishVolume"),
    (["stats", *VOLUME], "NodeGetVolumeStats"), (["version"], "Version"), (["health"], "Check"), (["mount"], "Mount")],
    ids=lambda value: value[0] if isinstance(value, list) else "")
def test_a_server_without_the_method_and_no_server_at_all(canned, scratch, words, method):
    done = ctl(*words, endpoint=canned({}), check=False)
    assert (done.returncode, done.stdout) == (FAILED_CALL + CODES.UNIMPLEMENTED.value[0], "")
    assert done.stderr.startswith(f"error: UNIMPLEMENTED: {method}: ")
    done = ctl(*words, endpoint=scratch / "none.sock", check=False)
    assert (done.returncode, done.stdout) == (FAILED_CALL + CODES.UNAVAILABLE.value[0], "")
    assert done.stderr.startswith(f"error: UNAVAILABLE: {method}: ")


@pytest.mark.parametrize("method", INFO)
def test_info_fails_with_each_of_its_calls(canned, method):
    done = ctl("info", "--json", endpoint=canned({**INFO, method: (CODES.INTERNAL, "broken")}), check=False)
    assert (done.returncode, done.stdout) == (FAILED_CALL + CODES.INTERNAL.value[0], "")
    assert json.loads(done.stderr)["error"]["message"] == f"{method.rpartition('/')[2]}: broken"


def test_an_endpoint_is_a_path_or_an_address(canned):
    path = canned({IDENTITY + "Probe": csi_pb2.ProbeResponse()})
    assert ctl("probe", "--endpoint", path).stdout == "ready            yes\n"
    done = ctl("probe", f"--endpoint=tcp://127.0.0.1:{free_port()}", check=False)
    assert done.returncode == FAILED_CALL + CODES.UNAVAILABLE.value[0]


def test_a_call_ends_with_its_timeout(canned):
    release = threading.Event()

    def hang(request, context):
        release.wait(60)
        return csi_pb2.ProbeResponse()
    done = ctl("probe", "--timeout=200ms", endpoint=canned({IDENTITY + "Probe": hang}), check=False)
    release.set()
    assert done.returncode == FAILED_CALL + CODES.DEADLINE_EXCEEDED.value[0]
    assert done.stderr.startswith("error: DEADLINE_EXCEEDED: Probe: ")


@pytest.mark.parametrize("code", [code for code in CODES if code.value[0] != 0], ids=lambda code: code.name)
def test_every_status_of_a_call_is_an_exit_status(canned, code):
    done = ctl("probe", endpoint=canned({IDENTITY + "Probe": (code, "why")}), check=False)
    assert (done.returncode, done.stderr) == (FAILED_CALL + code.value[0], f"error: {code.name}: Probe: why\n")


def test_the_help_promises_each_exit_status():
    text = " ".join(ctl("help").stdout.split())
    assert "Exit status: 0 success, 1 local failure, 2 bad usage, 3 diagnose found something wrong, 100 + N if the call failed" in text
    named = dict(reversed(pair.split()) for pair in text.rpartition("(for example ")[2].partition(").")[0].split(", "))
    assert {CODES[name].value[0] + FAILED_CALL: name for name in named} == {int(number): name for name, number in named.items()}


# ---- unusual responses -------------------------------------------------------------------------------------------------------------------


def test_capabilities_are_named_and_unknown_ones_are_numbers(canned):
    service, rpc_type = csi_pb2.PluginCapability.Service, csi_pb2.NodeServiceCapability.RPC
    plugin = csi_pb2.GetPluginCapabilitiesResponse()
    plugin.capabilities.add().service.type = service.CONTROLLER_SERVICE
    plugin.capabilities.add().service.type = 77
    plugin.capabilities.add()  # of a kind that ctl does not show
    node = csi_pb2.NodeGetCapabilitiesResponse()
    node.capabilities.add().rpc.type = rpc_type.GET_VOLUME_STATS
    node.capabilities.add().rpc.type = 78
    node.capabilities.add()
    endpoint = canned({**INFO, IDENTITY + "GetPluginCapabilities": plugin, NODE + "NodeGetCapabilities": node})
    assert json.loads(ctl("info", "--json", endpoint=endpoint).stdout) == {
        "name": "plugin", "version": "v1", "node": "node", "plugin capabilities": ["CONTROLLER_SERVICE", 77],
        "node capabilities": ["GET_VOLUME_STATS", 78]}
    lines = ctl("info", endpoint=endpoint).stdout.splitlines()
    assert lines == ["name             plugin", "version          v1", "node             node", "plugin capabilities:", "    CONTROLLER_SERVICE",
                     "    77", "node capabilities:", "    GET_VOLUME_STATS", "    78"]
    assert "plugin capabilities: none\n" in ctl("info", endpoint=canned(INFO)).stdout


@pytest.mark.parametrize("ready, status", [(None, 0), (True, 0), (False, FAILED_HERE)])
def test_probe(canned, ready, status):
    response = csi_pb2.ProbeResponse()
    if ready is not None:
        response.ready.value = ready
    done = ctl("probe", endpoint=canned({IDENTITY + "Probe": response}), check=False)
    assert (done.returncode, done.stdout) == (status, f"ready            {'no' if status else 'yes'}\n")
    assert done.stderr == ("error: FAILED_PRECONDITION: the plugin is not ready\n" if status else "")


@pytest.mark.parametrize("number, name", [(1, "SERVING"), (2, "NOT_SERVING"), (0, "UNKNOWN"), (9, "UNKNOWN")])
def test_health(canned, number, name):
    done = ctl("health", "--json", "--service=any", endpoint=canned({HEALTH: health_pb2.HealthCheckResponse(status=number)}), check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0 if number == 1 else FAILED_HERE, {"status": name})
    assert number == 1 or "the service is not serving" in done.stderr


def test_stats_of_a_unit_that_is_unknown(canned):
    response = csi_pb2.NodeGetVolumeStatsResponse()
    response.usage.add(unit=csi_pb2.VolumeUsage.BYTES, total=3, used=1, available=2)
    response.usage.add(unit=9, total=1)
    done = ctl("stats", *VOLUME, endpoint=canned({rpc.STATS: response}))
    assert done.stdout == "unit, total, used, available:\n    BYTES  3  1  2\n    UNKNOWN  1  0  0\n"


def test_a_mount_response_with_an_error_code(canned):
    done = ctl("mount", endpoint=canned({rpc.MOUNT: mount_response(error_code="GONE")}), check=False)
    assert (done.returncode, done.stdout) == (FAILED_CALL + CODES.UNKNOWN.value[0], "")
    assert "error code 'GONE'" in done.stderr


def test_contents_that_are_no_text_are_shown_in_hexadecimal(canned):
    contents = {"text": "ä".encode(), "empty": b"", "bytes": b"\x00\xff", "latin": b"\xe4"}
    endpoint = canned({rpc.MOUNT: mount_response(contents, versions={"id": "v1"})})
    out = json.loads(ctl("mount", "--show-contents", "--json", endpoint=endpoint).stdout)
    assert {file["path"]: file.get("contents", file.get("contents_hex")) for file in out["files"]} == {
        "text": "ä", "empty": "", "bytes": "00ff", "latin": "e4"}
    assert [file["path"] for file in out["files"] if "contents_hex" in file] == ["bytes", "latin"]
    assert ctl("mount", endpoint=endpoint).stdout.endswith("versions:\n    id  v1\n")


def test_what_a_provider_sends_fakes_no_line_and_no_direction(canned):
    """File names, versions, warnings and errors; the contents of a file, which were asked for, keep their lines."""
    hidden = "a\u202e\x1b[1m\x9b\n\ufeffb"
    shown = r"a\u202e\u001b[1m\u009b\n\ufeffb"
    response = mount_response({hidden: hidden.encode()}, versions={hidden: hidden}, warnings=[hidden])
    done = ctl("mount", "--show-contents", endpoint=canned({rpc.MOUNT: response}))
    assert done.stdout == (f"files:\n    rw-r--r--  {len(hidden.encode())}  {shown}  " + shown.replace(r"\n", "\n") +
                           f"\nversions:\n    {shown}  {shown}\nwarnings:\n    {shown}\n")
    done = ctl("mount", "--show-contents", "--json", endpoint=canned({rpc.MOUNT: response}))
    assert json.loads(done.stdout)["files"][0]["contents"] == hidden
    done = ctl("mount", endpoint=canned({rpc.MOUNT: mount_response(error_code=hidden)}), check=False)
    assert shown in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_result_that_cannot_be_written_is_an_error(canned):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = ctl("info", endpoint=canned(INFO), stdout=full, check=False)
    assert done.returncode == FAILED_HERE and "INTERNAL" in done.stderr


# ---- files of --out ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../escape", "/escape", "", ".", "a/../b", "a//b", "a/", "a/.", "n" * 300 + "/b", "n" * 300, "p/" * 2100 + "p",
                                  "link/escape", "directory", "file/below"], ids=lambda path: path[:12] or "empty")
def test_a_path_that_does_not_stay_below_out_is_refused(canned, scratch, path):
    out, foreign = scratch / "out", scratch / "foreign"
    (out / "directory").mkdir(parents=True)
    foreign.mkdir()
    (out / "link").symlink_to(foreign)
    (out / "file").write_text("old")
    done = ctl("mount", "--out", out, endpoint=canned({rpc.MOUNT: mount_response({path: b"x"})}), check=False)
    failed_here(done, f"--out '{out}': ")
    assert not (scratch / "escape").exists() and not os.path.lexists("/escape") and list(foreign.iterdir()) == []
    assert (out / "file").read_text() == "old"


def test_a_link_in_the_place_of_a_file_is_not_followed(canned, scratch):
    out, foreign = scratch / "out", scratch / "foreign"
    out.mkdir()
    foreign.write_text("old")
    (out / "a").symlink_to(foreign)
    failed_here(ctl("mount", "--out", out, endpoint=canned({rpc.MOUNT: mount_response({"a": b"new"})}), check=False), f"write '{'a'}'")
    assert foreign.read_text() == "old"


def test_nested_files_are_written_for_their_owner_alone(canned, scratch):
    out = scratch / "out"
    endpoint = canned({rpc.MOUNT: mount_response({"a/b/c": b"deep", "a/d": (0o777, b"mode"), "e": b""})})
    for _ in range(2):  # the second time over the files of the first
        ctl("mount", "--out", out, endpoint=endpoint)
        files = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
        assert {name: path.read_bytes() for name, path in files.items()} == {"a/b/c": b"deep", "a/d": b"mode", "e": b""}
        assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
        assert {path.stat().st_mode & 0o777 for path in (out, out / "a", out / "a/b")} == {0o700}


@pytest.mark.parametrize("out", ["file", "none/out"])
def test_an_out_that_cannot_be_a_directory(canned, scratch, out):
    (scratch / "file").write_text("old")
    failed_here(ctl("mount", "--out", scratch / out, endpoint=canned({rpc.MOUNT: mount_response({"a": b"x"})}), check=False), str(scratch / out))
    assert (scratch / "file").read_text() == "old"


# ---- what the other side receives --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(canned):
    """sent(method, type of request, response, *words): the request that ctl sends."""
    def send(method, kind, response, *words):
        requests = []

        def keep(request, context):
            requests.append(kind.FromString(request))
            return response
        ctl(*words, endpoint=canned({method: keep}))
        return requests[0]
    return send


def test_the_request_of_a_mount(sent, scratch):
    (scratch / "class.yaml").write_text("kind: Pod\n---\nkind: SecretProviderClass\nspec:\n  parameters:\n    a: text\n    b: ~\n    c: '5'\n")
    (scratch / "token").write_text("jwt\n\n")
    words = ["mount", "--class", scratch / "class.yaml", "--permission=0640", "--pod=p", "--pod-uid=u", "--namespace=n", "--service-account=s",
             "--target=/t", "--attribute", "c=6", "-attribute=d=e=f"]
    request = sent(rpc.MOUNT, provider_pb2.MountRequest, mount_response({}), *words)
    assert (request.permission, request.secrets, request.target_path) == ("416", "null", "/t")
    key = "csi.storage.k8s.io/"
    assert json.loads(request.attributes) == {
        "a": "text", "b": "", "c": "6", "d": "e=f", key + "pod.name": "p", key + "pod.uid": "u", key + "pod.namespace": "n",
        key + "serviceAccount.name": "s", key + "ephemeral": "true"}
    request = sent(rpc.MOUNT, provider_pb2.MountRequest, mount_response({}), *words, "--token-file", f"api://x={scratch}/token",
                   "--secret-file", f"k={scratch}/token")
    assert json.loads(json.loads(request.attributes)[key + "serviceAccount.tokens"])["api://x"]["token"] == "jwt"
    assert json.loads(request.secrets) == {"k": "jwt\n\n"}


def test_the_request_of_a_publish(sent, scratch):
    (scratch / "token").write_text("jwt")
    words = ["publish", "--volume-id=v", f"--target={scratch}/t", "--attribute=a=b", "--attribute=csi.storage.k8s.io/pod.uid=forged",
             "--pod-uid=u", "--fs-group=2000", "--token-file", f"x={scratch}/token", "--tokens-in-secrets"]
    request = sent(rpc.PUBLISH, csi_pb2.NodePublishVolumeRequest, csi_pb2.NodePublishVolumeResponse(), *words)
    assert (request.volume_id, request.target_path, request.readonly) == ("v", f"{scratch}/t", True)
    assert request.volume_capability.mount.volume_mount_group == "2000"
    assert request.volume_context["a"] == "b" and request.volume_context["csi.storage.k8s.io/pod.uid"] == "u"
    assert "secretProviderClass" not in request.volume_context and "csi.storage.k8s.io/serviceAccount.tokens" not in request.volume_context
    assert json.loads(request.secrets["csi.storage.k8s.io/serviceAccount.tokens"])["x"]["token"] == "jwt"


def test_unpublish_leaves_directories_that_are_not_empty(sent, scratch):
    volumes = scratch / "pods/u/volumes/kubernetes.io~csi"
    (volumes / "other/mount").mkdir(parents=True)
    (volumes / "secrets-store").mkdir()
    request = sent(rpc.UNPUBLISH, csi_pb2.NodeUnpublishVolumeRequest, csi_pb2.NodeUnpublishVolumeResponse(), "unpublish", "--pod-uid=u",
                   "--kubelet-dir", scratch)
    assert request.volume_id == rpc.volume_id("u", "secrets-store") and request.target_path == f"{volumes}/secrets-store/mount"
    assert sorted(path.name for path in volumes.iterdir()) == ["other"]
