"""A small client for a real Kubernetes API server: JSON over HTTPS, as the user of the certificate or of the token."""

import http.client
import json
import ssl
import urllib.parse


class ApiError(Exception):
    def __init__(self, method, path, status, body):
        self.status = status
        self.body = body
        message = body.get("message") if isinstance(body, dict) else body
        self.reason = body.get("reason") if isinstance(body, dict) else None
        super().__init__(f"{method} {path}: {status} {message}")


class Client:
    """get/list/create/update/patch/delete/watch by plural name ("pods", "secretproviderclasses"), or request() with a path.

    A group's version is the one the server prefers, unless a call says `version`. Every call opens a connection of its own, so a client
    outlives restarts of its server."""

    def __init__(self, host, port, ca_file, cert_file=None, key_file=None, token=None):
        self.host, self.port = host, port
        self.token = token
        self.context = ssl.create_default_context(cafile=str(ca_file))
        self.context.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do by themselves
        if cert_file is not None:
            self.context.load_cert_chain(str(cert_file), str(key_file))
        self._resources = {}
        self._plurals = {}
        self.warnings = []  # of the last response

    # -- requests -----------------------------------------------------------------------------------------------------------

    def _open(self, method, path, body=None, content_type="application/json", timeout=30):
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=timeout)
        headers = {"Accept": "application/json, */*;q=0.5", "User-Agent": "cluster-tests"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
            headers["Content-Type"] = content_type
        try:
            connection.request(method, path, body=data, headers=headers)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def request(self, method, path, body=None, content_type="application/json", timeout=30):
        """The JSON (or text) of the response. ApiError for anything but 2xx, OSError without a response."""
        connection, response = self._open(method, path, body, content_type, timeout)
        try:
            text = response.read().decode()
            self.warnings = response.headers.get_all("Warning") or []
        finally:
            connection.close()
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if not 200 <= response.status < 300:
            raise ApiError(method, path, response.status, value)
        return value

    def open_with_accept(self, path, accept):
        """(connection, response) of a GET that asks for another representation."""
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=30)
        connection.request("GET", path, headers={"Accept": accept})
        return connection, connection.getresponse()

    def ready(self):
        try:
            return self.request("GET", "/readyz", timeout=5) == "ok"
        except (OSError, ApiError, http.client.HTTPException):
            return False

    # -- paths ----------------------------------------------------------------------------------------------------------------

    def resource(self, plural, version=None):
        """(path of the group version, namespaced) of a plural, as the server's discovery says."""
        key = (plural, version)
        if key not in self._resources:
            self._discover()
        if key not in self._resources:
            raise KeyError(f"the API server serves no {plural} {version or ''}")
        return self._resources[key]

    def _discover(self):
        groups = [("/api/v1", True)]
        for group in self.request("GET", "/apis")["groups"]:
            preferred = group["preferredVersion"]["groupVersion"]
            groups += [("/apis/" + version["groupVersion"], version["groupVersion"] == preferred) for version in group["versions"]]
        for path, preferred in groups:
            for item in self.request("GET", path)["resources"]:
                where = (path, item["namespaced"])
                if "/" not in item["name"]:
                    self._plurals[path.split("/", 2)[2], item["kind"]] = item["name"]
                self._resources.setdefault((item["name"], path.rsplit("/", 1)[1]), where)
                if preferred:
                    self._resources.setdefault((item["name"], None), where)

    def path(self, plural, namespace=None, name=None, version=None, **query):
        base, namespaced = self.resource(plural, version)
        resource, _, subresource = plural.partition("/")
        path = base
        if namespaced and namespace is not None:
            path += f"/namespaces/{namespace}"
        path += f"/{resource}"
        if name is not None:
            path += f"/{urllib.parse.quote(name)}"
        if subresource:
            path += f"/{subresource}"
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def plural_of(self, api_version, kind):
        if (api_version, kind) not in self._plurals:
            self._discover()
        return self._plurals[api_version, kind]

    # -- objects ----------------------------------------------------------------------------------------------------------------

    def get(self, plural, namespace, name, version=None):
        return self.request("GET", self.path(plural, namespace, name, version))

    def find(self, plural, namespace, name, version=None):
        """The object, or None when there is none."""
        try:
            return self.get(plural, namespace, name, version)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, plural, namespace=None, version=None, **query):
        return self.request("GET", self.path(plural, namespace, version=version, **query))["items"]

    def create(self, item, namespace=None, **query):
        return self.request("POST", self._path_of(item, namespace, with_name=False, **query), item)

    def update(self, item, **query):
        return self.request("PUT", self._path_of(item, None, with_name=True, **query), item)

    def patch(self, plural, namespace, name, changes, kind="merge", version=None):
        return self.request("PATCH", self.path(plural, namespace, name, version), changes, f"application/{kind}-patch+json")

    def apply(self, item, namespace=None):
        """Server-side apply: creates or changes."""
        path = self._path_of(item, namespace, with_name=True, fieldManager="cluster-tests", force="true")
        return self.request("PATCH", path, item, "application/apply-patch+yaml")

    def delete(self, plural, namespace, name, version=None, **options):
        """Options: gracePeriodSeconds, propagationPolicy. No error when there is no such object."""
        try:
            return self.request("DELETE", self.path(plural, namespace, name, version), options or None)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def watch(self, plural, namespace=None, timeout=30, **query):
        """Yields (type, object); ends after `timeout` seconds."""
        path = self.path(plural, namespace, watch="1", timeoutSeconds=str(timeout), **query)
        connection, response = self._open("GET", path, timeout=timeout + 10)
        try:
            if response.status != 200:
                raise ApiError("GET", path, response.status, json.loads(response.read() or b"{}"))
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()

    def _path_of(self, item, namespace, with_name, **query):
        metadata = item.get("metadata", {})
        version = item["apiVersion"].rsplit("/", 1)[-1]
        return self.path(self.plural_of(item["apiVersion"], item["kind"]), namespace or metadata.get("namespace"), metadata["name"] if with_name else None,
                         version, **query)
