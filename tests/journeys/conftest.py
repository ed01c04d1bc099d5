"""What every journey drives: the command line in an empty folder, and the studio in a browser."""

import pytest

from command_line import render, room, sfumato
from studio_visits import Serving, Visit, find_browser

__all__ = ["render", "room", "sfumato"]


@pytest.fixture(scope="session")
def chromium():
    path = find_browser()
    if path is None:
        pytest.skip("NO BROWSER: the studio was not tested. Install Chromium, for instance `apt-get install chromium`.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["desktop", "phone"])
def device(request):
    return request.param


@pytest.fixture(scope="session")
def server(device, tmp_path_factory):
    # Each device has a server of its own, so each sees the page as it is before the first picture.
    serving = Serving(tmp_path_factory.mktemp(device))
    yield serving
    if serving.process.poll() is None:
        serving.stop()


@pytest.fixture
def visit(chromium, server, device):
    visiting = Visit(chromium, server.address, device)
    yield visiting
    visiting.close()
    outside = [url for url in visiting.asked if not url.startswith((server.address, "data:"))]
    assert outside == []
    assert visiting.complaints == []
