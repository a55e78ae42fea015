"""Certificates and keys of a control plane, made by the openssl command."""

import subprocess
from pathlib import Path

# The names and addresses of the API server; 10.96.0.1 is the first address of its service range.
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
SERVER_ADDRESSES = ("127.0.0.1", "10.96.0.1")


class Pki:
    """One certificate authority for everything. Files: ca.crt, ca.key, <name>.crt, <name>.key, sa.key, sa.pub."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key("ca")
        self._openssl("req", "-x509", "-new", "-key", self.path("ca.key"), "-subj", "/CN=test-ca", "-days", "30",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.path("ca.crt"))
        self._openssl("genrsa", "-out", self.path("sa.key"), "2048")
        self._openssl("rsa", "-in", self.path("sa.key"), "-pubout", "-out", self.path("sa.pub"))
        names = [f"DNS:{name}" for name in SERVER_NAMES] + [f"IP:{address}" for address in SERVER_ADDRESSES]
        self.issue("apiserver", "/CN=kube-apiserver", "serverAuth", names)

    def path(self, name):
        return self.directory / name

    def issue(self, name, subject, usage="clientAuth", alternative_names=()):
        """A certificate for `subject` ("/O=group/CN=user"); returns the paths of certificate and key."""
        self._key(name)
        self._openssl("req", "-new", "-key", self.path(f"{name}.key"), "-subj", subject, "-out", self.path(f"{name}.csr"))
        extensions = [f"extendedKeyUsage={usage}", "basicConstraints=critical,CA:false", "keyUsage=critical,digitalSignature",
                      "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
        if alternative_names:
            extensions.append("subjectAltName=" + ",".join(alternative_names))
        self.path(f"{name}.ext").write_text("\n".join(extensions) + "\n")
        self._openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
                      "-CAcreateserial", "-days", "30", "-extfile", self.path(f"{name}.ext"), "-out", self.path(f"{name}.crt"))
        return self.path(f"{name}.crt"), self.path(f"{name}.key")

    def _key(self, name):
        self._openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.path(f"{name}.key"))

    @staticmethod
    def _openssl(*words):
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, f"openssl {words[0]}: {done.stderr}"
