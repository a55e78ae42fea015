"""A release as its users meet it: downloaded, verified, unpacked, installed, pushed to a registry. `make release-test` runs this."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from harness.process import ROOT
from harness.registry import Registry
from harness.scratch import scratch_directory

VERSION = os.environ["VERSION"]
RELEASE = Path(os.environ["RELEASE"])
HELM = os.environ["HELM"]
PROGRAMS = ("driver", "provider-azure", "ctl")
ARCHITECTURES = ("amd64", "arm64")
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def output(*argv, **more):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=120, check=False, **more)
    assert done.returncode == 0, f"{' '.join(map(str, argv))}: {done.stdout}{done.stderr}"
    return done.stdout


def image_digest(program):
    with tarfile.open(RELEASE / f"secrets-store-{program}-{VERSION}.oci.tar") as tar:
        (descriptor,) = json.load(tar.extractfile("./index.json"))["manifests"]
    assert descriptor["mediaType"] == INDEX_TYPE
    return descriptor["digest"]


def images_of(items):
    """The images of all containers of the DaemonSets."""
    found = set()
    for item in items:
        if item["kind"] == "DaemonSet":
            spec = item["spec"]["template"]["spec"]
            found |= {container["image"] for container in [*spec.get("initContainers", []), *spec["containers"]]}
    return found


def expected_images(registry):
    return {f"{registry}/secrets-store-{program}@{image_digest(program)}" for program in ("driver", "provider-azure")}


@pytest.fixture(scope="module")
def registry_of_release():
    """Where the release says that its images are."""
    return json.loads((RELEASE / f"provenance-{VERSION}.intoto.json").read_text())["predicate"]["buildDefinition"]["externalParameters"]["REGISTRY"]


# --- the directory ---

def test_every_artifact_is_there_and_nothing_else():
    expected = {"SHA256SUMS", f"provenance-{VERSION}.intoto.json", f"secrets-store-csi-{VERSION}.yaml", f"secrets-store-csi-sync-{VERSION}.yaml",
                f"secrets-store-csi-{VERSION}.tar.gz", f"secrets-store-csi-driver-{VERSION}.tgz", f"csi-secrets-store-provider-azure-{VERSION}.tgz"}
    for program in PROGRAMS:
        expected.add(f"secrets-store-{program}-{VERSION}.oci.tar")
        for arch in ARCHITECTURES:
            expected |= {f"secrets-store-{program}_{VERSION}_{arch}.deb", f"secrets-store-{program}-{VERSION}-{arch}.spdx.json",
                         f"secrets-store-{program}-{VERSION}-{arch}.cdx.json"}
    assert {path.name for path in RELEASE.iterdir()} - {"SHA256SUMS.minisig"} == expected


def test_the_sums_are_those_of_all_files():
    output("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=RELEASE)
    named = {line.split()[1] for line in (RELEASE / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in RELEASE.iterdir()} - {"SHA256SUMS", "SHA256SUMS.minisig"}


def documented():
    """{file: (KiB, command)} of docs/release.md, for this version."""
    page = (ROOT / "docs/release.md").read_text()
    block = page[page.index("<!-- artifacts: begin"):page.index("<!-- artifacts: end")]
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \| `([^`]+)` \|$", block, re.MULTILINE)
    return {name.replace("VERSION", VERSION): (int(size), command.replace("VERSION", VERSION)) for name, size, command in rows}


def test_the_document_lists_every_file_with_its_size():
    """`make release-table` writes it. Sizes move with the code; a part of the files in the wrong order of magnitude is a mistake."""
    listed, files = documented(), {path.name: path.stat().st_size / 1024 for path in RELEASE.iterdir()}
    assert set(listed) | {"SHA256SUMS.minisig"} == set(files) | {"SHA256SUMS.minisig"}
    wrong = {name: (listed[name][0], size) for name, size in files.items() if name in listed and not size / 2 - 1 <= listed[name][0] <= size * 2 + 1}
    assert wrong == {}


def test_every_command_of_the_document_verifies_its_file(scratch):
    """And refuses a damaged one, where the command reads the whole file."""
    (scratch / "bin").mkdir()
    (scratch / "bin/helm").symlink_to(HELM)
    shutil.copytree(RELEASE, scratch / "files")
    shutil.copy(os.environ["RELEASE_PUBLIC_KEY"], scratch / "files/release.pub")
    environment = {**os.environ, "PATH": f"{scratch}/bin:{os.environ['PATH']}", "HOME": str(scratch)}

    def verify(command):
        return subprocess.run(command, shell=True, cwd=scratch / "files", env=environment, capture_output=True, text=True, timeout=120, check=False)
    for name, (_, command) in documented().items():
        if name == "SHA256SUMS.minisig" and not (RELEASE / name).exists():
            continue
        done = verify(command)
        assert done.returncode == 0 and done.stdout + done.stderr, (command, done.stdout, done.stderr)
    for name, (_, command) in documented().items():
        path = scratch / "files" / name
        if path.exists() and not command.startswith(("minisign", "sha256sum", "grep")):
            path.write_bytes(path.read_bytes()[:200])
            assert verify(command).returncode != 0, command


def test_the_signature_is_that_of_the_key_and_of_this_text(scratch):
    shutil.copy(RELEASE / "SHA256SUMS", scratch)
    output("minisign", "-G", "-W", "-f", "-p", f"{scratch}/key.pub", "-s", f"{scratch}/key")
    output("minisign", "-S", "-s", f"{scratch}/key", "-m", f"{scratch}/SHA256SUMS")
    verify = ["minisign", "-V", "-q", "-p", f"{scratch}/key.pub", "-m", f"{scratch}/SHA256SUMS"]
    output(*verify)
    if os.environ.get("RELEASE_PUBLIC_KEY"):  # the one that `make release` was given
        shutil.copy(RELEASE / "SHA256SUMS.minisig", scratch)
        output(*verify[:4], os.environ["RELEASE_PUBLIC_KEY"], *verify[5:])
    with open(f"{scratch}/SHA256SUMS", "a", encoding="ascii") as file:
        file.write("0\n")
    assert subprocess.run(verify, capture_output=True, check=False, timeout=60).returncode != 0


def test_the_provenance_names_every_file_with_its_digest():
    statement = json.loads((RELEASE / f"provenance-{VERSION}.intoto.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1" and statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    files = [path for path in RELEASE.iterdir() if not path.name.startswith(("SHA256SUMS", "provenance-"))]
    assert subjects == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    source = statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert source["digest"]["gitCommit"] == output("git", "-C", ROOT, "rev-parse", "HEAD").strip()


def test_the_sources_are_the_commit():
    with tarfile.open(RELEASE / f"secrets-store-csi-{VERSION}.tar.gz") as tar:
        names = {entry.name.partition("/")[2] for entry in tar if not entry.isdir()}
    assert names == set(output("git", "-C", ROOT, "ls-files").splitlines())


# --- parts lists ---

@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_both_parts_lists_name_the_same_parts(program, arch):
    spdx = json.loads((RELEASE / f"secrets-store-{program}-{VERSION}-{arch}.spdx.json").read_text())
    cyclonedx = json.loads((RELEASE / f"secrets-store-{program}-{VERSION}-{arch}.cdx.json").read_text())
    parts = {(package["name"], package["versionInfo"]) for package in spdx["packages"]}
    subject = cyclonedx["metadata"]["component"]
    assert {(part["name"], part["version"]) for part in [subject, *cyclonedx["components"]]} == parts
    assert {"musl", "libuv", "mbedTLS", "curl"} <= {name for name, _ in parts}
    assert (cyclonedx["bomFormat"], cyclonedx["specVersion"], subject["version"]) == ("CycloneDX", "1.6", VERSION)


# --- packages ---

def package(program, arch):
    return RELEASE / f"secrets-store-{program}_{VERSION}_{arch}.deb"


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_package_holds_the_executable_of_its_architecture(program, arch, scratch):
    fields = dict(line.split(": ", 1) for line in output("dpkg-deb", "--field", package(program, arch)).splitlines() if line[0] != " ")
    assert (fields["Package"], fields["Version"], fields["Architecture"]) == (f"secrets-store-{program}", VERSION, arch)
    assert "Depends" not in fields
    output("dpkg-deb", "--extract", package(program, arch), f"{scratch}/root")
    spdx = json.loads((RELEASE / f"secrets-store-{program}-{VERSION}-{arch}.spdx.json").read_text())
    executable = Path(f"{scratch}/root/usr/bin/secrets-store-{program}")
    assert hashlib.sha256(executable.read_bytes()).hexdigest() == spdx["packages"][0]["checksums"][0]["checksumValue"]
    if arch == MACHINE:
        assert VERSION in output(executable, "--version")


def scratch_root(scratch):
    """A root directory in which maintainer scripts find a shell, and nothing of the machine."""
    root = Path(scratch) / "root"
    for directory in ("bin", "var/lib/dpkg/info", "var/lib/dpkg/updates", "tmp", "etc", "run"):
        (root / directory).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / "var/lib/dpkg/available").touch()
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for name in ("sh", "rm", "cat"):
        (root / "bin" / name).symlink_to("busybox")
    return root


@pytest.mark.skipif(os.geteuid() != 0, reason="the maintainer scripts run in a root directory of their own")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_package_is_installed_and_removed(program, scratch):
    root = scratch_root(scratch)
    dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-bad-path", "--force-architecture"]
    output(*dpkg, "--install", package(program, MACHINE))
    assert (root / f"usr/bin/secrets-store-{program}").is_file()
    settings = root / f"etc/default/secrets-store-{program}"
    if settings.exists():
        settings.write_text('DRIVER_OPTS="--v=5"\n')
    output(*dpkg, "--install", package(program, MACHINE))  # the same again keeps what an administrator has written
    assert not settings.exists() or settings.read_text() == 'DRIVER_OPTS="--v=5"\n'
    output(*dpkg, "--purge", f"secrets-store-{program}")
    assert not [path for path in root.rglob("*secrets-store*") if not path.is_relative_to(root / "var/lib/dpkg")]


@pytest.mark.parametrize("program", ("driver", "provider-azure"))
def test_the_unit_is_one_that_systemd_understands(program, scratch):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd")
    output("dpkg-deb", "--extract", package(program, MACHINE), f"{scratch}/root")
    unit = Path(f"{scratch}/root/usr/lib/systemd/system/secrets-store-{program}.service")
    # the executable is looked for on this machine
    unit.write_text(unit.read_text().replace("=/usr/bin/", f"={scratch}/root/usr/bin/"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False)
    assert unit.name not in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("program", ("driver", "provider-azure"))
def test_the_unit_starts_the_program_with_flags_that_it_knows(program, scratch):
    output("dpkg-deb", "--extract", package(program, MACHINE), f"{scratch}/root")
    unit = Path(f"{scratch}/root/usr/lib/systemd/system/secrets-store-{program}.service").read_text()
    (command,) = [line.partition("=")[2].split() for line in unit.splitlines() if line.startswith("ExecStart=")]
    known = output(f"{scratch}/root{command[0]}", "--help")
    for flag in (word.partition("=")[0] for word in command[1:] if word.startswith("--")):
        assert f"  {flag} " in known or f"  {flag}\n" in known, flag


@pytest.mark.parametrize("program, section", [("driver", 8), ("provider-azure", 8), ("ctl", 1)])
def test_the_manual_page_has_every_flag(program, section, scratch):
    if shutil.which("man") is None:
        pytest.skip("there is no man")
    output("dpkg-deb", "--extract", package(program, MACHINE), f"{scratch}/root")
    name = f"secrets-store-{program}"
    done = subprocess.run(["man", "--warnings", "--local-file", f"{scratch}/root/usr/share/man/man{section}/{name}.{section}.gz"], capture_output=True,
                          text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200"})
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    usage = output(f"{scratch}/root/usr/bin/{name}", "publish", "--help") if program == "ctl" else output(f"{scratch}/root/usr/bin/{name}", "--help")
    for flag in (line.split()[0] for line in usage.splitlines() if line.startswith("  --")):
        assert flag in done.stdout, flag


def completed(scratch, program, *words):
    """What bash offers after these words."""
    script = f'source {scratch}/root/usr/share/bash-completion/completions/secrets-store-{program}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
             f'_secrets_store_{program.replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return output("bash", "-c", script, "bash", *words).split()


def test_bash_completes_commands_and_flags(scratch):
    for program in PROGRAMS:
        output("dpkg-deb", "--extract", package(program, MACHINE), f"{scratch}/root")
    assert completed(scratch, "ctl", "secrets-store-ctl", "un") == ["unpublish"]
    assert completed(scratch, "ctl", "secrets-store-ctl", "publish", "--pod") == ["--pod", "--pod-uid"]
    assert completed(scratch, "driver", "secrets-store-driver", "--rot") == ["--rotation-poll-interval"]
    (Path(scratch) / "some-file").touch()
    assert completed(scratch, "provider-azure", "secrets-store-provider-azure", "--endpoint", f"{scratch}/some-f") == [f"{scratch}/some-file"]


# --- charts and manifests ---

@pytest.mark.parametrize("name", ["secrets-store-csi-driver", "csi-secrets-store-provider-azure"])
def test_a_chart_names_the_images_of_the_release_by_digest(name, registry_of_release):
    text = output(HELM, "template", "csi", RELEASE / f"{name}-{VERSION}.tgz", "--namespace", "kube-system", "--kube-version", "1.34.0")
    found = images_of(item for item in yaml.safe_load_all(text) if item)
    assert found == {image for image in expected_images(registry_of_release) if name.startswith("csi-") or "provider" not in image}
    chart = yaml.safe_load(output(HELM, "show", "chart", RELEASE / f"{name}-{VERSION}.tgz"))
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_the_bundle_is_the_plain_manifests_with_the_images_of_the_release(registry_of_release):
    items = [item for item in yaml.safe_load_all((RELEASE / f"secrets-store-csi-{VERSION}.yaml").read_text()) if item]
    assert images_of(items) == expected_images(registry_of_release)
    kinds = {item["kind"] for item in items}
    assert {"CustomResourceDefinition", "CSIDriver", "DaemonSet", "ClusterRole", "ServiceAccount"} <= kinds
    assert "secrets" not in {resource for item in items if item["kind"] == "ClusterRole" for rule in item["rules"] for resource in rule["resources"]}


# --- a registry ---

@pytest.fixture(scope="module")
def registry():
    running = Registry(scratch_directory())
    yield running.address
    running.stop()


def test_the_registry_serves_what_was_pushed(registry, scratch):
    where = f"{registry}/secrets-store-csi"
    output(ROOT / "release/publish.sh", VERSION, RELEASE, where,
           env={**os.environ, "INSECURE": "1", "HELM_CONFIG_HOME": f"{scratch}/helm", "HELM_CACHE_HOME": f"{scratch}/helm-cache"})
    for program in PROGRAMS:
        raw = output("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{where}/secrets-store-{program}:{VERSION}")
        assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == image_digest(program)
        platforms = {manifest["platform"]["architecture"] for manifest in json.loads(raw)["manifests"]}
        assert platforms == set(ARCHITECTURES)
    output(HELM, "pull", "--plain-http", f"oci://{where}/charts/secrets-store-csi-driver", "--version", VERSION, "--destination", scratch)
    pulled = Path(scratch) / f"secrets-store-csi-driver-{VERSION}.tgz"
    assert pulled.read_bytes() == (RELEASE / pulled.name).read_bytes()
