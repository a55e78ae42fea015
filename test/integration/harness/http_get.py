"""GET of a page on a port of 127.0.0.1, past every proxy of the environment."""

import urllib.error
import urllib.request

from harness.process import PATIENCE

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_with_headers(port, path):
    """(status, text, headers)"""
    try:
        with _opener.open(f"http://127.0.0.1:{port}{path}", timeout=10 * PATIENCE) as response:
            return response.status, response.read().decode(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def get(port, path):
    """(status, text)"""
    return get_with_headers(port, path)[:2]
