"""The release's executables: nothing else is needed to run them, and names are resolved with /etc/resolv.conf and /etc/hosts alone.
"""

import datetime
import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc import RpcError

from harness import rpc
from harness.azure_mounts import Pods, mount_request
from harness.memory import mappings
from harness.name_server import A, AAAA, NameServer
from harness.process import BUILD, PATIENCE, ROOT, wait_until

SOURCES = "/src"  # what the build calls the directory of the sources, wherever it is (-ffile-prefix-map)
PROGRAMS = ["secrets-store-driver", "secrets-store-provider-azure", "secrets-store-ctl"]
HEADERS = {name: subprocess.run(["readelf", "--wide", "--program-headers", "--dynamic", BUILD / "bin" / name], capture_output=True, text=True,
                                check=False).stdout for name in PROGRAMS}

pytestmark = [pytest.mark.release_only,
              pytest.mark.build("static", reason="what only the static executables promise")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_static_and_position_independent_with_a_read_only_table(name):
    assert "INTERP" not in HEADERS[name] and "(NEEDED)" not in HEADERS[name]
    assert "DYN (Position-Independent Executable file)" in HEADERS[name] or "FLAGS_1" in HEADERS[name]
    assert "GNU_RELRO" in HEADERS[name] and re.search(r"GNU_STACK.* RW ", HEADERS[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_contains_nothing_of_the_machine_that_built_it(name):
    data = (BUILD / "bin" / name).read_bytes()
    for text in {str(BUILD.parent.parent), str(BUILD), os.path.expanduser("~") + "/"} - {SOURCES}:
        assert text.encode() not in data, text


def section_sizes(name):
    """{section: bytes} of an executable."""
    sections = subprocess.run(["readelf", "--wide", "--section-headers", BUILD / "bin" / name], capture_output=True, text=True, check=True).stdout
    return {section: int(size, 16) for section, size in re.findall(r" (\.\S+) +PROGBITS +\S+ \S+ (\S+)", sections)}


@pytest.mark.parametrize("name", PROGRAMS[:2])
def test_the_functions_and_constants_that_serve_calls_lie_together(name):
    sizes = section_sizes(name)
    for kind in (".text", ".rodata"):
        assert 0.25 < sizes[f"{kind}.serving"] / (sizes[f"{kind}.serving"] + sizes[kind]) < 0.75


def test_calls_need_little_of_the_executable_besides(start_driver, provider, node, start_azure):
    """The kernel maps blocks of 64 KiB: ten for the ends of both pieces and what the lists lack. Are there more, `make serving-functions` renews them."""
    driver, azure = start_driver(), start_azure()
    node.add_class()
    for i in range(3):
        driver.publish(rpc.publish_request(node.target(volume=f"v{i}")))
    with Pods(azure.socket) as pods:
        pods.mount_all([mount_request(["secret1"])] * 3)
    for name, program in zip(PROGRAMS, (driver, azure)):
        unchanged = [one for one in mappings(program.pid) if one.name == str(BUILD / "bin" / name) and "w" not in one.permissions]
        together = sum(size for section, size in section_sizes(name).items() if section.endswith(".serving"))
        assert 0 < sum(one.resident for one in unchanged) < together + 10 * 64 * 1024


def test_the_list_of_functions_that_serve_calls_is_current():
    """Names that are gone do no harm, but where many are gone, many are missing: `make serving-functions` writes the list."""
    libraries = subprocess.run(["make", "-s", "VARIANT=static", "print-static-libraries"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # compiled each for itself, and what they have become in the programs
    files = [*BUILD.glob("*.a"), *Path(libraries.strip()).glob("*.a"), *(BUILD / "debug" / f"{name}.debug" for name in PROGRAMS[:2])]
    symbols = subprocess.run(["nm", *files], capture_output=True, text=True, check=True).stdout
    known = {line.split()[-1].split(".")[0] for line in symbols.splitlines() if line}
    listed = [line for line in (ROOT / "mk/static/serving_functions").read_text().splitlines() if not line.startswith("#") and ":" not in line]
    gone = [name for name in listed if name not in known]
    assert len(gone) < len(listed) / 10, gone


CAS = 600


def bundle_of(count):
    """So many CAs of one key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    for i in range(count):
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Company number {i}"), x509.NameAttribute(NameOID.COMMON_NAME, f"Root CA {i}")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), i + 1, now, now + datetime.timedelta(days=9))
        yield builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_trusted_cas_take_little_more_memory_than_their_bytes(start_azure, emulator, scratch):
    """Parsed, each would take two KiB more; a handshake needs one of them."""
    cas = list(bundle_of(CAS))
    bundle = scratch / "cas.pem"
    bundle.write_bytes(b"".join(cas) + (emulator.directory / "ca.pem").read_bytes())
    few = start_azure(name="few", socket_name="few")
    many = start_azure(name="many", socket_name="many", env={"SSL_CERT_FILE": str(bundle)})
    for azure in (few, many):
        with Pods(azure.socket) as pods:
            pods.mount(mount_request(["secret1"]))
    assert many.rss_kib() - few.rss_kib() < CAS * 1.2


@pytest.fixture
def start_in_chroot(scratch, emulator):
    """start(hosts, resolv): the provider in a root that holds itself, those two files and what an operator mounts; gives its socket's path."""
    processes = []

    def start(hosts, resolv):
        root = scratch / "root"
        for name in ("etc", "run", "dev"):
            (root / name).mkdir(parents=True)
        for name, text in (("etc/hosts", hosts), ("etc/resolv.conf", resolv)):
            (root / name).write_text(text)
        (root / "ca.pem").write_bytes((emulator.directory / "ca.pem").read_bytes())
        cloud = (emulator.directory / "cloud.json").read_text()
        (root / "cloud.json").write_text(cloud.replace("login.localhost", HOST))
        (root / "provider").write_bytes((BUILD / "bin/secrets-store-provider-azure").read_bytes())
        (root / "provider").chmod(0o755)
        processes.append(subprocess.Popen(
            ["/usr/sbin/chroot", root, "/provider", "--endpoint=unix:///run/azure.sock", "--cloud-name=AzureStackCloud", "--healthz-port=0",
             "--prometheus-port=0"],
            env={"AZURE_ENVIRONMENT_FILEPATH": "/cloud.json", "SSL_CERT_FILE": "/ca.pem"}, stdin=subprocess.DEVNULL))
        path = root / "run/azure.sock"
        wait_until(path.exists, what="the provider's socket")
        return path
    yield start
    for process in processes:
        process.terminate()
        assert process.wait(timeout=30 * PATIENCE) == 0


def failure(path):
    with Pods(path) as pods, pytest.raises(RpcError) as caught:
        pods.mount(mount_request(["secret1"]))
    return caught.value.details()


HOST = "login.test.example"


def test_a_name_comes_from_etc_hosts(start_in_chroot):
    path = start_in_chroot(f"127.0.0.1 localhost {HOST}\n", "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
    # it got as far as the emulator's certificate, which does not hold this name
    assert "TLS handshake" in failure(path)


def test_a_name_comes_from_the_name_server_of_resolv_conf(start_in_chroot):
    with NameServer(HOST) as server:
        path = start_in_chroot("127.0.0.1 localhost\n", f"search ns.svc.cluster.local svc.cluster.local\nnameserver {server.address}\noptions ndots:5\n")
        assert "TLS handshake" in failure(path)
        assert server.queries == [(HOST, A), (HOST, AAAA)]


def test_an_unknown_host_name_is_reported(start_in_chroot):
    path = start_in_chroot("127.0.0.1 localhost\n", "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
    assert f"DNS lookup of '{HOST}' failed" in failure(path)


# --- the libraries are hardened as our own code is ---

LIBRARIES = ["curl", "nghttp2", "uv", "mbedtls", "mbedx509", "mbedcrypto", "cares", "cjson", "yaml", "microhttpd", "seccomp", "protobuf-c"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="as its compiler writes it")
@pytest.mark.parametrize("library", LIBRARIES)
def test_each_object_of_the_libraries_marks_the_targets_of_indirect_jumps(library):
    """-fcf-protection: the note that a linker and a kernel read (x86-64 psABI, GNU_PROPERTY_X86_FEATURE_1_AND)."""
    compiler = Path((BUILD / ".flags").read_text().split()[0])
    archive = compiler.parent.parent / "lib" / f"lib{library}.a"
    objects = subprocess.run(["readelf", "--wide", "--notes", archive], capture_output=True, text=True, check=True).stdout.split("\nFile: ")[1:]
    without = [text.split("\n")[0] for text in objects if "x86 feature: IBT, SHSTK" not in text]
    assert objects and not without


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="as its compiler writes it")
@pytest.mark.parametrize("name", PROGRAMS)
def test_no_function_leaps_over_the_guard_page_of_the_stack(name):
    """-fstack-clash-protection: a frame grows by a page at most, and each page is touched before the next."""
    code = subprocess.run(["objdump", "--disassemble", "--no-show-raw-insn", BUILD / "bin" / name], capture_output=True, text=True, check=True).stdout
    lines = code.splitlines()
    grown = [(int(match.group(1), 16), after) for line, after in zip(lines, lines[1:])
             if (match := re.search(r"\tsub +\$0x([0-9a-f]{1,8}),%rsp$", line))]
    assert [size for size, _ in grown if size > 0x1000] == []
    pages = [after for size, after in grown if size == 0x1000]
    assert pages and [after for after in pages if not re.search(r"\torq +\$0x0,(0x[0-9a-f]+)?\(%rsp\)$", after)] == []


def test_the_connections_of_a_first_mount_resume_the_session_of_the_first_one(azure, emulator):
    """Over HTTP/1.1 each request of a mount has a connection. One full handshake with Entra ID and one or two with the vault do for all of them."""
    names = [f"n{i}" for i in range(30)]
    for name in names:
        emulator.set_secret(name, name)
    emulator.set_http(protocols=["http/1.1"])
    emulator.add_fault("latency", service="vault", latency_ms=500)
    with Pods(azure.socket) as pods:
        assert len(pods.mount(mount_request(names)).files) == 30
    used = [connection for connection in emulator.connections() if connection["requests"] > 0]
    assert len(used) > 20
    assert len([connection for connection in used if not connection["resumed"]]) <= 4
