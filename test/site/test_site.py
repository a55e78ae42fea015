"""The built site in a browser, on a desktop and on a phone. `make site-test` runs this."""

import functools
import http.server
import os
import re
import threading
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from harness.process import ROOT
from harness.scratch import scratch_directory

SITE = ROOT / "build/site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if path.name != "404.html")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SHOTS = ROOT / "build/site-screenshots"
# What people paste into the search, as the kubelet, Entra ID and Key Vault write it.
SEARCHED = ["not found in the list of registered CSI drivers", "context deadline exceeded", "AADSTS700213", "AADSTS7000215", "SecretNotFound",
            "ForbiddenByRbac", "provider not found", "Identity not found", "FailedToCreateSecret", "no matches for kind SecretProviderClass"]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    directory = scratch_directory()
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", f"--user-data-dir={directory}/profile", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    os.environ["HOME"] = str(directory)
    from selenium.webdriver.chrome.service import Service
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    yield driver
    driver.quit()


def test_no_link_is_dead():
    dead = []
    for name in PAGES:
        text = (SITE / name).read_text()
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            url = urlparse(link)
            if url.scheme or url.netloc or link.startswith("data:"):
                continue
            target = (SITE / name).parent / unquote(url.path) if url.path else SITE / name
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (url.fragment and target.suffix == ".html" and f'id="{unquote(url.fragment)}"' not in target.read_text()):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_no_page_loads_anything_from_another_host():
    for name in PAGES:
        loaded = re.findall(r'<(?:script|img|link rel="(?:stylesheet|preconnect)")[^>]*(?:src|href)="(https?:[^"]+)"', (SITE / name).read_text())
        assert loaded == [], name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_renders(browser, address, name, size):
    browser.set_window_size(*SIZES[size])
    browser.get(f"{address}/{name}")
    assert browser.find_element(By.CSS_SELECTOR, "article h1").text
    width = browser.execute_script("return [document.scrollingElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], "the page is wider than the window"
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]] == []
    for image in browser.find_elements(By.CSS_SELECTOR, "article img"):
        assert browser.execute_script("return arguments[0].complete && arguments[0].naturalWidth > 0", image), image.get_attribute("src")
    SHOTS.mkdir(exist_ok=True)
    browser.save_screenshot(str(SHOTS / f"{Path(name).stem}-{size}.png"))


@pytest.mark.parametrize("text", SEARCHED)
def test_the_search_finds_an_error(browser, address, text):
    browser.set_window_size(*SIZES["desktop"])
    browser.get(f"{address}/index.html?q={text.replace(' ', '+')}")
    # a result is a page, with links to its sections
    links = WebDriverWait(browser, 30).until(lambda page: page.find_elements(By.CSS_SELECTOR, ".md-search-result__item > .md-search-result__link"))
    found = [link.get_attribute("href") for link in links[:2]]
    assert any("troubleshooting.html" in link for link in found), found
