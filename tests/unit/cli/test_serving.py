"""`sfumato serve --open` goes to an address that a browser can reach."""

import threading
import webbrowser

import pytest

from sfumato.cli.serving import _show_page


class WrittenBrowser(webbrowser.BaseBrowser):
    """A browser that writes down where it was sent."""

    def __init__(self):
        super().__init__("written")
        self.seen, self.opened, self.answer = [], threading.Event(), True

    def open(self, url, new=0, autoraise=True):
        self.seen.append(url)
        self.opened.set()
        return self.answer


@pytest.fixture
def browser(monkeypatch):
    found = WrittenBrowser()
    # As the library keeps them, and only for this test.
    monkeypatch.setattr(webbrowser, "_browsers", {"written": [None, found]})
    monkeypatch.setattr(webbrowser, "_tryorder", ["written"])
    return found


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("http://127.0.0.1:7860", "http://127.0.0.1:7860"),
        ("http://0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("http://[::]:9000", "http://[::1]:9000"),
        ("http://192.168.1.7:9000", "http://192.168.1.7:9000"),
    ],
)
def test_the_page_is_opened_where_it_can_be_reached(browser, address, page):
    _show_page(address)
    assert browser.opened.wait(10)
    assert browser.seen == [page]
