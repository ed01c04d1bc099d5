"""The studio as a person visits it: a real server with mini, Chromium, a desktop and a phone.

Start reading at `Visit`; the fixtures are in `journeys/conftest.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from guards.source import ROOT
from processes import command, environment

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
AXE = ROOT / "studio" / "node_modules" / "axe-core" / "axe.min.js"
LONGEST_MS = 120_000
# For people who look: a folder that gets a picture of every stop of a journey.
SHOTS = os.environ.get("STUDIO_SHOTS")


def find_browser():
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


class Serving:
    """A server process on a port that it finds, and its address."""

    def __init__(self, room):
        self.room, self.shown = room, room / "shown"
        self.start(port=0)

    def start(self, port):
        words = command("serve", "--port", port, "--open")
        browser = self.room / "browser"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{self.shown}"\n')
        browser.chmod(0o755)
        settings = environment(self.room) | {"SFUMATO_STATE": str(self.room / "state"), "BROWSER": str(browser)}
        settings["SFUMATO_CONCEPTS"] = str(self.room / "concepts")
        self.process = subprocess.Popen(words, env=settings, stderr=subprocess.PIPE, text=True)
        self.address = next(line for line in self.process.stderr if "serves" in line).split()[2]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.close()
        self.process.wait(60)


class Visit:
    """A person at a device. Everything that the page asks for, and every complaint of the browser, is written down."""

    def __init__(self, browser, address, device):
        size = DESKTOP if device == "desktop" else PHONE
        self.address, self.device = address, device
        self.context = browser.new_context(viewport=size, has_touch=device == "phone", accept_downloads=True)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context.set_default_timeout(LONGEST_MS)
        self.asked, self.complaints = [], []
        self.page = self.open()

    def open(self):
        page = self.context.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.address)
        return page

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def shoot(self, name):
        if SHOTS:
            self.page.screenshot(path=Path(SHOTS) / f"{name}_{self.device}.png")

    def check(self, name):
        """Look for what axe finds wrong, and for a page that is wider than its screen."""
        self.shoot(name)
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
        if not AXE.exists():
            return
        # Through the debugger, so the rules of the page stay as they are.
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document)")["violations"]
        self.page.emulate_media(color_scheme="dark")
        self.shoot(f"{name}_dark")
        found += self.page.evaluate("axe.run(document, {runOnly: ['color-contrast']})")["violations"]
        self.page.emulate_media(color_scheme="light")
        assert not found, [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"]]) for one in found]

    def write(self, prompt):
        self.page.get_by_label("What should it show?").fill(prompt)

    def set_size(self, width, height):
        for name, side in (("Width", width), ("Height", height)):
            field = self.page.get_by_label(name, exact=True)
            field.fill(str(side))
            field.press("Tab")

    def set_steps(self, steps):
        self.page.get_by_text("More settings").click()
        self.page.get_by_label("Steps").fill(str(steps))

    def draw(self, **body):
        """Let the server draw a small picture without the page, and return its job."""
        small = {"prompt": "a photo of a red house in a meadow", "size": "128x128", "steps": 4, "seed": 3}
        job = self.ask("POST", "/api/v1/jobs", small | body)
        return self.wait_for(job["id"])

    def wait_for(self, job_id):
        for _ in range(10 * LONGEST_MS // 1000):
            job = self.ask("GET", f"/api/v1/jobs/{job_id}")
            if job["state"] not in ("queued", "running"):
                assert job["state"] == "done", job
                return job
            time.sleep(0.1)
        raise AssertionError(job)

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def load(self, url):
        with urllib.request.urlopen(self.address + url, timeout=30) as answer:
            return answer.read()

    def show(self, job):
        """Open the page with a job on the wall."""
        self.page.reload()
        self.page.locator("nav.strip button.open").first.wait_for()
        self.page.locator(f'nav.strip img[src*="{job["id"]}"]').locator("..").click()
        self.page.locator(".frame.ready").wait_for()

    def choose(self, tool):
        self.page.get_by_role("tab", name=tool).click()

    def order(self, button):
        """Press a button that queues a job, and return the job when it is done."""
        with self.page.expect_response(
            lambda answer: answer.url.endswith("/api/v1/jobs") and answer.request.method == "POST"
        ) as told:
            self.page.get_by_role("button", name=button, exact=True).click()
        return self.wait_for(told.value.json()["id"])

    def drag(self, points, *, steps=6):
        """Drag over points of the screen, by mouse or by finger."""
        if self.device == "desktop":
            mouse = self.page.mouse
            mouse.move(*points[0])
            mouse.down()
            for x, y in points[1:]:
                mouse.move(x, y, steps=steps)
            mouse.up()
            return
        touch = self.context.new_cdp_session(self.page)

        def send(kind, at=None):
            where = [] if at is None else [{"x": at[0], "y": at[1]}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

        send("touchStart", points[0])
        for start, end in itertools.pairwise(points):
            for step in range(1, steps + 1):
                share = step / steps
                at = [one + share * (other - one) for one, other in zip(start, end, strict=True)]
                send("touchMove", at)
        send("touchEnd")

    @property
    def go(self):
        return self.page.locator("button.generate")

    def close(self):
        self.context.close()
