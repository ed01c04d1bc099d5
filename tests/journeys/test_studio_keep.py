"""The studio: pictures are found again, marked, deleted and brought back; a file gives its settings; a grid is drawn.

Needs Chromium: `make test-browser`. Start reading at `test_a_picture_is_found_deleted_and_brought_back`.
"""

import io
import re

import pytest
from PIL import Image, PngImagePlugin

pytestmark = pytest.mark.browser

A1111 = "a photo of a lamp in a room\nNegative prompt: fog\nSteps: 3, Sampler: Euler a, CFG scale: 4, Seed: 77, Size: 128x128, Model: other"


def test_a_picture_is_found_deleted_and_brought_back(visit):
    page = visit.page
    visit.draw(prompt="a photo of a tree by the sea")
    visit.draw(prompt="a photo of a watch")
    page.get_by_role("button", name="Gallery").click()
    page.get_by_label("Search the prompts").fill("sea tree")
    page.get_by_text("1 picture", exact=True).wait_for()
    page.get_by_role("button", name="Favourite: a photo of a tree by the sea").click()
    page.get_by_label("Search the prompts").fill("")
    page.get_by_label("Open: a photo of a watch").first.wait_for()
    visit.check("gallery")
    page.get_by_role("button", name="Look alike: a photo of a tree by the sea").click()
    page.get_by_role("button", name="Show the newest first again").wait_for()
    page.locator('.gallery li:first-child [aria-label="Open: a photo of a tree by the sea"]').wait_for()
    visit.check("alike")
    page.get_by_role("button", name="Show the newest first again").click()
    page.locator('.gallery li:first-child [aria-label="Open: a photo of a watch"]').wait_for()
    page.get_by_role("button", name="Favourites").click()
    page.get_by_text("1 picture", exact=True).wait_for()
    page.get_by_role("button", name="Delete: a photo of a tree by the sea").click()
    page.get_by_text("No picture fits").wait_for()
    visit.check("deleted")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("1 picture", exact=True).wait_for()
    page.get_by_label("Open: a photo of a tree by the sea").click()
    page.locator(".label h2", has_text="a photo of a tree by the sea").wait_for()


def test_a_file_of_another_tool_gives_its_settings_and_a_grid_is_drawn(visit):
    page = visit.page
    stream, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    texts.add_text("parameters", A1111)
    Image.new("RGB", (128, 128), (120, 90, 60)).save(stream, "PNG", pnginfo=texts)
    page.locator("main").wait_for()
    page.set_input_files("input[type=file]", {"name": "lamp.png", "mimeType": "image/png", "buffer": stream.getvalue()})
    page.get_by_text("settings of another tool inside").wait_for()
    page.get_by_text("Not carried over:").wait_for()
    visit.check("foreign")
    page.locator("#panel").get_by_role("button", name="Use these settings").click()
    assert page.locator("#prompt").input_value() == "a photo of a lamp in a room"
    assert page.get_by_label("Seed", exact=True).input_value() == "77"
    page.get_by_label("Seed", exact=True).fill("78")
    page.locator(".forecast .time").wait_for()
    visit.go.click()
    page.locator(".label").get_by_label("78: keep this seed").wait_for()

    visit.choose("Vary")
    page.get_by_text("A grid of settings").click()
    page.get_by_label("Values of axis X").fill("2, 6")
    page.get_by_label("Values of axis Y").fill("1-2")
    visit.check("grid_form")
    page.get_by_role("button", name="Draw 4 pictures").click()
    page.get_by_text("4 of 4 drawn").wait_for()
    page.get_by_role("button", name="guidance 6, seed 1").click()
    page.get_by_text("Only this differs: Guidance 2 → 6.").wait_for()
    page.get_by_text(re.compile("% of the picture looks different|The two look alike")).wait_for()
    visit.check("grid")
    page.reload()
    page.get_by_role("button", name="Grid").click()
    page.get_by_text("4 of 4 drawn").wait_for()


def test_a_concept_is_taught_from_five_pictures_and_used(visit):
    page, job = visit.page, visit.draw(prompt="a photo of a dog", batch=5)
    page.get_by_role("button", name="Concepts").click()
    page.get_by_text("Nothing was taught yet.").wait_for()
    page.get_by_role("button", name="New concept").click()
    pictures = [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": visit.load(file["url"])}
        for number, file in enumerate(job["files"])
    ]
    page.locator(".drop input").set_input_files(pictures)
    page.get_by_text("5 pictures. Drop more").wait_for()
    page.get_by_label("Its word in prompts").fill("zork")
    page.get_by_label("What is it?").fill("dog")
    visit.check("concept_form")
    page.get_by_role("button", name="Make the concept").click()
    page.get_by_text("Not taught yet.").wait_for()
    page.get_by_label("Minutes").fill("0.2")
    page.get_by_label("with a report card").uncheck()
    page.get_by_role("button", name="Teach it").click()
    page.get_by_role("button", name="Stop here").wait_for()
    visit.check("concept_learning")
    page.get_by_role("button", name="Write “zork” in a prompt").click()
    assert page.locator("#prompt").input_value() == "zork"
    page.get_by_label("Take out zork").wait_for()
    visit.write("zork in a meadow")
    visit.set_size(128, 128)
    visit.set_steps(4)
    page.locator(".forecast .time").wait_for()
    visit.go.click()
    page.locator(".label h2", has_text="zork in a meadow").wait_for()
    visit.check("concept_used")
    drawn = visit.ask("GET", "/api/v1/jobs?most=1")["jobs"][0]
    assert [one["path"] for one in drawn["request"]["concepts"]] == ["zork.concept"]
