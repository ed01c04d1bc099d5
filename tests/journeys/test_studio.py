"""The studio as a person uses it: Chromium, a real server, mini; on a desktop and on a phone.

Needs Chromium: `make test-browser`. Start reading at `test_the_first_picture`.
"""

import hashlib
import re
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser


def read_percent(page):
    return int(page.locator(".tools output").inner_text().removesuffix(" %"))


def test_the_first_picture(visit, server):
    page = visit.page
    assert server.shown.read_text() == server.address
    page.get_by_text("An empty wall").wait_for()
    page.locator(".forecast .time").wait_for()
    assert visit.go.is_disabled()
    visit.check("empty")

    page.get_by_label(re.compile("Take this prompt: a photo of a watch")).click()
    assert page.locator("#prompt").input_value() == "a photo of a watch"
    visit.write("a photo of a watch, castle")
    page.locator("mark", has_text="castle").wait_for(state="attached")
    page.get_by_text("mini has not learned “castle”").wait_for()
    visit.check("unknown")
    visit.write("a photo of a wa")
    page.get_by_label("What should it show?").press("End")
    page.keyboard.type("t")
    page.get_by_role("option", name="watch").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#prompt").input_value() == "a photo of a watch"

    page.get_by_label("Random each time").click()
    visit.set_size(192, 128)
    visit.set_steps(6)
    page.keyboard.press("Control+Enter")
    page.locator(".canvas image").wait_for(state="attached")
    visit.check("drawing")
    label = page.locator(".label")
    label.wait_for()
    page.locator(".frame.ready").wait_for()
    seed = label.get_by_label("keep this seed").inner_text()
    assert seed.isdecimal()
    assert "192 × 128" in label.inner_text()
    label.locator(".check").wait_for()
    visit.check("picture")

    fitted = read_percent(page)
    page.get_by_label("Zoom in").click()
    page.wait_for_function(
        "fitted => parseInt(document.querySelector('.tools output').textContent) > fitted", arg=fitted
    )
    # The list of jobs is read again meanwhile; the view stays where it is.
    zoomed = read_percent(page)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(1000)
    assert read_percent(page) >= zoomed
    with page.expect_download() as told:
        label.get_by_text("Download").click()
    file = Path(told.value.path()).read_bytes()
    job = page.evaluate("fetch('/api/v1/jobs').then(answer => answer.json())")["jobs"][0]
    assert hashlib.sha256(file).hexdigest() == job["files"][0]["sha256"]
    label.get_by_text("Copy as command").click()
    page.wait_for_function("() => navigator.clipboard.readText().then(text => text.startsWith('sfumato render'))")
    assert f"--seed {seed}" in page.evaluate("navigator.clipboard.readText()")
    label.get_by_text("Copy as Python").click()
    page.wait_for_function("() => navigator.clipboard.readText().then(text => text.startsWith('import sfumato'))")
    assert f"seed={seed}," in page.evaluate("navigator.clipboard.readText()")

    # The tab is closed; what was drawn is the server's.
    page.close()
    visit.page = page = visit.open()
    page.locator(".frame.ready").wait_for()
    assert page.locator("#prompt").input_value() == "a photo of a watch"
    page.get_by_text("Use these settings").click()
    assert page.get_by_label("Seed", exact=True).input_value() == seed


def test_a_large_picture_is_foreseen_and_cancelled(visit):
    page = visit.page
    visit.write("a red house in a meadow")
    visit.set_size(20_000, 20_000)
    page.get_by_text("This server draws no picture of so many pixels").wait_for()
    assert visit.go.is_disabled()
    visit.check("refused")
    page.get_by_role("button", name="Use 8192 × 8192").click()
    page.locator(".forecast .time").wait_for()
    assert re.search(r"about \d+ (min|h)", page.locator(".forecast").inner_text())
    assert "4,096 × the native area" in page.locator(".forecast").inner_text()

    visit.set_size(1024, 640)
    page.locator(".forecast .time", has_text=re.compile(r"s$|min$")).wait_for()
    visit.go.click()
    page.get_by_text(re.compile("(step|row of windows) \\d+ of \\d+")).wait_for()
    visit.go.click()
    waiting = page.get_by_label("a red house in a meadow: waits", exact=True)
    waiting.wait_for()
    # One that came later is drawn sooner.
    tree = visit.ask("POST", "/api/v1/jobs", {"prompt": "a tree by the sea", "size": "128x128", "steps": 2})
    page.get_by_label("Draw sooner: a tree by the sea").click()
    page.get_by_label("Draw sooner: a red house in a meadow").wait_for()
    assert visit.ask("GET", "/api/v1/queue")["waiting"][0] == tree["id"]
    visit.check("queue")
    page.get_by_label("Cancel: a tree by the sea").click()

    # Who comes back finds the picture where it is.
    page.reload()
    page.locator(".canvas image").wait_for(state="attached")
    page.get_by_label("Cancel: a red house in a meadow").click()
    waiting.wait_for(state="detached")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("heading", name="Cancelled").wait_for()
    visit.check("cancelled")
    counts = page.evaluate("fetch('/api/v1/jobs').then(answer => answer.json())")["counts"]
    assert (counts.get("queued", 0), counts.get("running", 0), counts["cancelled"]) == (0, 0, 3)


def test_a_lost_server_is_told_and_found_again(visit, server, tmp_path_factory):
    page = visit.page
    page.locator(".forecast .time").wait_for()
    server.process.send_signal(signal.SIGSTOP)
    page.context.set_offline(True)
    page.get_by_text("The server does not answer.").wait_for()
    visit.check("lost")
    server.process.send_signal(signal.SIGCONT)
    page.context.set_offline(False)
    page.get_by_text("The server does not answer.").wait_for(state="detached")
    visit.complaints[:] = [text for text in visit.complaints if "ERR_INTERNET_DISCONNECTED" not in text]


def test_a_killed_server_comes_back_and_the_picture_goes_on(visit, server):
    page = visit.page
    visit.write("a red house in a meadow")
    visit.set_size(192, 128)
    visit.set_steps(40)
    page.locator(".forecast .time").wait_for()
    visit.go.click()
    page.get_by_text(re.compile("(step|row of windows) \\d+ of \\d+")).wait_for()
    port = server.address.rsplit(":", 1)[1]
    server.process.kill()
    server.process.stderr.close()
    server.process.wait(30)
    page.get_by_text("The server does not answer.").wait_for()
    visit.shoot("killed")
    server.start(port)
    page.get_by_text("The server does not answer.").wait_for(state="detached")
    page.locator(".label").get_by_label("keep this seed").wait_for()
    visit.shoot("recovered")
    told = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
    visit.complaints[:] = [text for text in visit.complaints if not any(one in text for one in told)]
