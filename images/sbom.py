#!/usr/bin/python3
"""sbom.py - the parts list of an image, as SPDX 2.3 or CycloneDX 1.6 JSON.

   images/sbom.py --name secrets-store-driver --version 0.1.0 --revision COMMIT --executable FILE --packages STATIC_DEPS/packages
                  [--certificates] [--format cyclonedx] > out.spdx.json

The executables contain only what mk/static/fetch.sh fetched: its list is the source of this one. Time stamps come from
SOURCE_DATE_EPOCH, so the same input gives the same bytes.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import uuid
from pathlib import Path

# Source package: its name as a component, its licence (from its debian/copyright).
LINKED = {
    "musl": ("musl", "MIT"),
    "libuv1": ("libuv", "MIT"),
    "nghttp2": ("nghttp2", "MIT"),
    "protobuf-c": ("protobuf-c", "BSD-2-Clause"),
    "libyaml": ("libyaml", "MIT"),
    "cjson": ("cJSON", "MIT"),
    "mbedtls": ("mbedTLS", "Apache-2.0 OR GPL-2.0-or-later"),
    "libmicrohttpd": ("libmicrohttpd", "LGPL-2.1-or-later"),
    "libseccomp": ("libseccomp", "LGPL-2.1-only"),
    "curl": ("curl", "curl"),
    "c-ares": ("c-ares", "MIT"),
}
TESTS_ONLY = {"cmocka"}


def spdx_id(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def distribution(version):
    """Debian's release of a revision: updates of stable contain its number."""
    found = re.search(r"deb(\d+)u", version)
    return f"&distro=debian-{found.group(1)}" if found else ""


def package(name, version, licence, **more):
    return {
        "SPDXID": spdx_id(f"Package-{name}"), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": "NOASSERTION", **more,
    }


def purl(name, version, architecture):
    quoted = version.replace("+", "%2B")
    return [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": f"pkg:deb/debian/{name}@{quoted}?arch={architecture}{distribution(version)}"}]


def components(packages_file):
    found = []
    for line in packages_file.read_text().splitlines():
        source, version, dsc_sha256 = line.split()
        if source in TESTS_ONLY:
            continue
        name, licence = LINKED[source]  # a library without an entry here is an error: its licence must be checked
        found.append(package(name, version, licence, supplier="Organization: Debian", externalRefs=purl(source, version, "source"),
                             sourceInfo=f"built from Debian source package {source} {version}, SHA-256 of its .dsc {dsc_sha256}"))
    return found


def output_of(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def installed(name):
    return output_of("dpkg-query", "-W", "-f", "${Version}", name)


def support_library(arch):
    """Name and version of the source package that the compiler's libgcc.a is from."""
    native = output_of("dpkg", "--print-architecture").strip() == arch
    compiler = "gcc" if native else {"amd64": "x86_64", "arm64": "aarch64"}[arch] + "-linux-gnu-gcc"
    library = Path(output_of(compiler, "-print-file-name=libgcc.a").strip()).resolve()
    owner = output_of("dpkg-query", "--search", str(library)).split(": ")[0]
    return output_of("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", owner).split()


def created():
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def spdx(subject, parts, name, digest):
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": subject["SPDXID"]}]
    for part in parts:
        kind = "CONTAINS" if part["name"] == "ca-certificates" else "STATIC_LINK"
        relations.append({"spdxElementId": subject["SPDXID"], "relationshipType": kind, "relatedSpdxElement": part["SPDXID"]})
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
        "documentNamespace": f"urn:sha256:{digest}:{name}",
        "creationInfo": {"created": created(), "creators": ["Tool: images-sbom.py"]},
        "packages": [subject, *parts], "relationships": relations,
    }


def component(item, kind):
    found = {"type": kind, "bom-ref": item["SPDXID"], "name": item["name"], "version": item["versionInfo"],
             "licenses": [{"expression": item["licenseDeclared"]}]}
    for reference in item.get("externalRefs", []):
        found["purl"] = reference["referenceLocator"]
    for checksum in item.get("checksums", []):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum["checksumValue"]}]
    return found


def cyclonedx(subject, parts, name, digest):
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:sha256:{digest}:{name}')}",
        "metadata": {"timestamp": created(), "component": component(subject, "application")},
        "components": [component(part, "data" if part["name"] == "ca-certificates" else "library") for part in parts],
        "dependencies": [{"ref": subject["SPDXID"], "dependsOn": [part["SPDXID"] for part in parts]}],
    }


FORMATS = {"spdx": spdx, "cyclonedx": cyclonedx}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", choices=FORMATS, default="spdx")
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--revision", default="unknown")
    parser.add_argument("--arch", default="amd64")
    parser.add_argument("--executable", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--certificates", action="store_true", help="the image holds the package ca-certificates, too")
    options = parser.parse_args()

    digest = hashlib.sha256(options.executable.read_bytes()).hexdigest()
    main_package = package(options.name, options.version, "Apache-2.0", sourceInfo=f"commit {options.revision}",
                           primaryPackagePurpose="CONTAINER",
                           checksums=[{"algorithm": "SHA256", "checksumValue": digest}],
                           comment=f"the checksum is that of the executable for {options.arch}")
    parts = components(options.packages)
    source, version = support_library(options.arch)
    parts.append(package("libgcc", version, "GPL-3.0-or-later WITH GCC-exception-3.1", sourceInfo="the compiler's static support library",
                         externalRefs=purl(source, version, "source")))
    if options.certificates:
        version = installed("ca-certificates")
        parts.append(package("ca-certificates", version, "MPL-2.0", externalRefs=purl("ca-certificates", version, "all")))
    document = FORMATS[options.format](main_package, parts, f"{options.name}-{options.version}-{options.arch}", digest)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
