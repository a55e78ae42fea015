"""TLS servers of every kind that vaults, proxies and company CAs produce: certificates by OpenSSL's command line, served by Python's ssl."""

import http.server
import json
import re
import ssl
import threading

from harness.crypto import openssl
from harness.process import free_port

CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash")
LEAF = ("basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth")
KEYS = {
    "rsa": "RSA -pkeyopt rsa_keygen_bits:2048", "rsa-1024": "RSA -pkeyopt rsa_keygen_bits:1024", "rsa-4096": "RSA -pkeyopt rsa_keygen_bits:4096",
    "rsa-pss": "RSA-PSS -pkeyopt rsa_keygen_bits:2048", "ed25519": "ED25519", "ed448": "ED448",
    **{curve: f"EC -pkeyopt ec_paramgen_curve:{curve}" for curve in ("P-256", "P-384", "P-521", "secp256k1", "brainpoolP256r1")},
}


class Certificates:
    """Certificates in a directory, made on demand; a name stands for its key and its certificate."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()

    def _key(self, name, kind):
        """A key of this kind. RSA keys take long: the certificates that do not issue others share one."""
        shared = self.directory / (f"{name}.key" if name.startswith("ca") else f"shared-{kind}.key")
        if not shared.exists():
            openssl(self.directory, f"genpkey -algorithm {KEYS[kind]} -out {shared.name}")
        (self.directory / f"{name}.key").write_bytes(shared.read_bytes())

    def make(self, name, issuer=None, key="P-256", extensions=(), options="", days=3, subject=None):
        """Makes NAME.pem, signed by `issuer` or by itself. Returns `name`."""
        self._key(name, key)
        (self.directory / f"{name}.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n[ext]\n" + "\n".join(extensions) + "\n")
        openssl(self.directory, f"req -new -key {name}.key -config {name}.cnf -subj '{subject or '/CN=' + name}' -out {name}.csr")
        signer = f"-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial" if issuer else f"-signkey {name}.key"
        if days < 0:
            self._sign_in_the_past(name, issuer)
        else:
            openssl(self.directory, f"x509 -req -in {name}.csr {signer} -extfile {name}.cnf -extensions ext -days {days} {options} -out {name}.pem")
        return name

    def _sign_in_the_past(self, name, issuer):
        """With `ca`: `x509` of OpenSSL 3.0 writes no dates of the past."""
        (self.directory / f"{name}.index").write_text("")
        (self.directory / f"{name}-ca.cnf").write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={name}.index\nrand_serial=yes\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
        openssl(self.directory, f"ca -batch -notext -config {name}-ca.cnf -cert {issuer}.pem -keyfile {issuer}.key -in {name}.csr -extfile {name}.cnf"
                                f" -extensions ext -startdate 20200101000000Z -enddate 20200201000000Z -out {name}.pem")

    def text(self, *names):
        return "".join((self.directory / f"{name}.pem").read_text() for name in names)

    def chain(self, *names):
        """A file with these certificates, the server's first; and the file with its key."""
        path = self.directory / f"{names[0]}-chain.pem"
        path.write_text(self.text(*names))
        return path, self.directory / f"{names[0]}.key"


class Vault(http.server.BaseHTTPRequestHandler):
    """Every secret has the value "ok"."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = re.match(r"/secrets/([^/?]+)", self.path).group(1)
        body = json.dumps({"value": "ok", "id": f"https://{self.headers['host']}/secrets/{name}/{'0' * 32}",
                           "attributes": {"enabled": True, "created": 1, "updated": 1}}).encode()
        self.server.requests.append(self.headers.get("authorization"))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class TlsServer(http.server.ThreadingHTTPServer):
    """A vault behind one kind of TLS. `requests`: what arrived, by its authorization."""

    daemon_threads = True

    def __init__(self, chain, minimum=None, maximum=None, ciphers=None, group=None, finite_field=False, client_certificate=False):
        self.requests = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if ciphers:
            context.set_ciphers(ciphers)
        context.load_cert_chain(*chain)
        if minimum:
            context.minimum_version = minimum
        if maximum:
            context.maximum_version = maximum
        if group:
            context.set_ecdh_curve(group)
        if finite_field:
            openssl(chain[0].parent, "genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out group.pem")
            context.load_dh_params(chain[0].parent / "group.pem")
        if client_certificate:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(chain[0])
        super().__init__(("127.0.0.1", free_port()), Vault)
        self.port = self.server_address[1]
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        pass  # clients that refuse the certificate

    def stop(self):
        self.shutdown()
        self.server_close()
