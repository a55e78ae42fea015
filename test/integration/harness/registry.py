"""A container registry on loopback, without TLS: CNCF's distribution, built once per machine."""

import subprocess
from pathlib import Path

import yaml

from harness.process import ROOT, free_port, wait_until


def program():
    done = subprocess.run(["bash", ROOT / "test/release/get-registry.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    return done.stdout.strip()


class Registry:
    def __init__(self, directory):
        self.address = f"127.0.0.1:{free_port()}"
        directory = Path(directory)
        config = directory / "registry.yml"
        config.write_text(yaml.safe_dump({"version": 0.1, "log": {"level": "error"}, "http": {"addr": self.address},
                                          "storage": {"filesystem": {"rootdirectory": str(directory / "registry")}}}))
        self._process = subprocess.Popen([program(), "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._serves, 60, "the registry", pause=0.1)

    def _serves(self):
        done = subprocess.run(["skopeo", "list-tags", "--tls-verify=false", f"docker://{self.address}/none"], capture_output=True, text=True,
                              timeout=60, check=False)
        return "refused" not in done.stderr

    def push_image(self, archive, name):
        """Pushes an OCI archive as `name` (with a tag); returns repository@digest."""
        subprocess.run(["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", f"oci-archive:{archive}",
                        f"docker://{self.address}/{name}"], check=True, timeout=120)
        done = subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{self.address}/{name}"],
                              stdout=subprocess.PIPE, text=True, check=True, timeout=60)
        return f"{self.address}/{name.rsplit(':', 1)[0]}@{done.stdout.strip()}"

    def stop(self):
        self._process.terminate()
        self._process.wait(60)
