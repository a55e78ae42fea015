"""Archives of images: what images/archive.py reads and writes, and the index of several architectures, without building an image."""

import hashlib
import importlib.util
import json
import subprocess
import tarfile

import pytest

from harness.process import ROOT

pytestmark = pytest.mark.once
NAME = "org.opencontainers.image.ref.name"
REFERENCE = "localhost/some-program:1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def load(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / f"images/{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


archive = load("archive")


def make_image(directory, arch, reference=REFERENCE):
    """An image as buildah writes it, but of nothing."""
    blobs = {}

    def blob(kind, value):
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{name}"] = data
        return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(data)}
    config = blob("application/vnd.oci.image.config.v1+json", {"architecture": arch, "os": "linux", "config": {}})
    image = blob(MANIFEST, {"schemaVersion": 2, "config": config, "layers": []})
    index = json.dumps({"schemaVersion": 2, "manifests": [{**image, "annotations": {NAME: reference}}]}).encode()
    archive.write(directory / f"some-program-{arch}.tar", {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs}, 1)
    return image["digest"]


def make_index(directory, *architectures):
    return subprocess.run([ROOT / "images/index.py", "--name", "some-program", "--images", directory, *architectures], capture_output=True, text=True,
                          check=False, env={"SOURCE_DATE_EPOCH": "1", "PATH": "/usr/bin:/bin"})


def read(path):
    with tarfile.open(path) as tar:
        return {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}


def test_an_index_names_one_image_per_architecture(tmp_path):
    digests = {arch: make_image(tmp_path, arch) for arch in ("amd64", "arm64")}
    done = make_index(tmp_path, "amd64", "arm64")
    assert done.returncode == 0, done.stderr
    files = read(tmp_path / "some-program.tar")

    # every blob has the digest in its name, and all blobs of both images are there
    blobs = {name: data for name, data in files.items() if name.startswith("blobs/")}
    assert all(name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}" for name, data in blobs.items())
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["mediaType"] == "application/vnd.oci.image.index.v1+json" and top["annotations"] == {NAME: REFERENCE}
    index_data = files["blobs/" + top["digest"].replace(":", "/")]
    assert top["size"] == len(index_data)
    index = json.loads(index_data)
    assert {item["platform"]["architecture"]: item["digest"] for item in index["manifests"]} == digests
    for item in index["manifests"]:
        manifest = json.loads(blobs["blobs/" + item["digest"].replace(":", "/")])
        config = json.loads(blobs["blobs/" + manifest["config"]["digest"].replace(":", "/")])
        assert item["mediaType"] == MANIFEST and item["platform"] == {"architecture": config["architecture"], "os": "linux"}
    assert files["oci-layout"] == b'{"imageLayoutVersion": "1.0.0"}'


def test_the_same_images_give_the_same_index(tmp_path):
    for arch in ("amd64", "arm64"):
        make_image(tmp_path, arch)
    contents = []
    for _ in range(2):
        assert make_index(tmp_path, "amd64", "arm64").returncode == 0
        contents.append((tmp_path / "some-program.tar").read_bytes())
        (tmp_path / "some-program.tar").unlink()
    assert contents[0] == contents[1]


def test_images_of_different_names_do_not_become_one_index(tmp_path):
    make_image(tmp_path, "amd64")
    make_image(tmp_path, "arm64", "localhost/some-program:2")
    done = make_index(tmp_path, "amd64", "arm64")
    assert done.returncode != 0 and "some-program:2" in done.stderr, done.stderr
    assert not (tmp_path / "some-program.tar").exists()


def test_two_images_for_one_architecture_are_refused(tmp_path):
    make_image(tmp_path, "amd64")
    (tmp_path / "some-program-arm64.tar").write_bytes((tmp_path / "some-program-amd64.tar").read_bytes())
    done = make_index(tmp_path, "amd64", "arm64")
    assert done.returncode != 0 and "amd64" in done.stderr, done.stderr


def test_a_blob_that_differs_from_its_descriptor_is_noticed(tmp_path):
    make_image(tmp_path, "amd64")
    files = read(tmp_path / "some-program-amd64.tar")
    name = next(name for name in files if name.startswith("blobs/"))
    archive.write(tmp_path / "changed.tar", {**files, name: files[name] + b" "}, 1)
    with pytest.raises(ValueError, match="its descriptor has"):
        archive.Archive(tmp_path / "changed.tar")
