"""The studio: two pictures behind a slider, a part painted over, more room at an edge, a photograph enlarged.

Needs Chromium: `make test-browser`. Start reading at `test_two_methods_are_compared`.
"""

import io
import re

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser


def open_pixels(visit, file):
    return np.asarray(Image.open(io.BytesIO(visit.load(file["url"]))).convert("RGB")).astype(int)


def find_place(page):
    """Return the picture on the screen as left, top, width and height in px of the window."""
    return page.evaluate("""() => {
      const box = document.querySelector(".frame").getBoundingClientRect(), label = document.querySelector(".sides");
      return [box.left, box.top, box.width, box.height];
    }""")


def test_two_methods_are_compared(visit):
    page, job = visit.page, visit.draw(size="192x128")
    visit.show(job)
    visit.choose("Compare")
    slider = page.get_by_role("slider", name="Slider between the two pictures")
    slider.wait_for()
    assert page.get_by_role("button", name="Base", exact=True).get_attribute("aria-pressed") == "true"
    visit.check("compare_base")
    page.get_by_role("button", name="native", exact=True).click()
    page.get_by_text(re.compile("Only this differs: Method native → cohesive")).wait_for()
    page.get_by_text(re.compile("% of the picture looks different|The two look alike")).wait_for()
    visit.check("compare_methods")

    def look(share):
        slider.focus()
        page.keyboard.press(share)
        page.wait_for_timeout(300)
        left, top, width, height = find_place(page)
        # Without the slider and the words over the picture.
        clip = {"x": left + width / 3, "y": top + height / 2, "width": width / 10, "height": height / 6}
        return page.screenshot(clip=clip)

    assert look("Home") != look("End")
    left, top, width, height = find_place(page)
    handle = slider.bounding_box()
    assert handle["x"] > left + width / 2
    visit.drag([(handle["x"] + handle["width"] / 2, top + height / 2), (left + width / 2, top + height / 2)])
    assert 45 <= int(slider.get_attribute("aria-valuenow")) <= 55


def test_a_part_is_painted_over(visit):
    page, job = visit.page, visit.draw()
    visit.show(job)
    visit.choose("Paint over")
    page.locator(".layer canvas").wait_for()
    left, top, width, height = find_place(page)
    middle = (left + width / 2, top + height / 2)
    reach = min(width, height) / 5
    assert page.get_by_role("button", name="Draw it there").is_disabled()
    visit.drag([(middle[0] - reach, middle[1]), (middle[0] + reach, middle[1])])
    visit.drag([(middle[0], middle[1] - reach), middle])
    page.get_by_role("button", name="Undo").click()
    visit.check("paint")
    page.get_by_role("button", name="Invert").click()
    visit.shoot("paint_inverted")
    page.get_by_role("button", name="Undo").click()
    page.get_by_label("What should be there?").fill("a photo of a red house in a meadow with a window")
    done = visit.order("Draw it there")
    page.locator(".label").wait_for()
    page.locator(".frame.ready").wait_for()
    assert done["source"] == "inpaint"
    before, after = open_pixels(visit, job["files"][0]), open_pixels(visit, done["files"][0])
    changed = np.abs(before - after).max(axis=2) > 0
    # One stroke along the middle; the one that was undone went up from there.
    assert changed.any()
    assert not changed[: len(changed) // 3].any()
    visit.choose("Compare")
    page.get_by_role("button", name="Before the change").wait_for()
    page.get_by_role("slider", name="Slider between the two pictures").wait_for()
    visit.check("painted")


def test_an_edge_is_dragged_outwards(visit):
    page, job = visit.page, visit.draw()
    visit.show(job)
    visit.choose("Extend")
    handle = page.get_by_role("slider", name="More room on the right")
    handle.wait_for()
    page.wait_for_timeout(600)
    box = handle.bounding_box()
    start = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.drag([start, (start[0] + 60, start[1])])
    more = int(handle.get_attribute("aria-valuenow"))
    assert more > 0
    assert more % 8 == 0
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert int(handle.get_attribute("aria-valuenow")) == min(128, more + 16)
    width = 128 + int(handle.get_attribute("aria-valuenow"))
    page.get_by_text(f"{width} × 128").first.wait_for()
    visit.check("extend")
    done = visit.order("Draw the new part")
    page.locator(".label").wait_for()
    page.locator(".frame.ready").wait_for()
    assert done["files"][0]["width"] == width
    before, after = open_pixels(visit, job["files"][0]), open_pixels(visit, done["files"][0])
    # Beyond the seam nothing changes.
    assert np.array_equal(before[:, :96], after[:, :96])
    visit.check("extended")


def test_a_dropped_photograph_is_enlarged(visit):
    page = visit.page
    stream = io.BytesIO()
    across, down = np.meshgrid(np.arange(96), np.arange(64))
    pixels = np.stack([across * 2, down * 3, (across + down) % 64 * 3], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    page.locator("main").wait_for()
    page.set_input_files(
        "input[type=file]", {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()}
    )
    page.get_by_text("no settings inside").wait_for()
    page.locator(".frame.ready").wait_for()
    visit.check("dropped")
    page.locator("#panel").get_by_role("button", name="Enlarge").click()
    # The networks are parts to fetch; without them there is this.
    page.get_by_role("button", name="Plainly").click()
    done = visit.order("Enlarge to 192 × 128")
    page.locator(".label").wait_for()
    assert (done["kind"], done["files"][0]["width"], done["files"][0]["height"]) == ("upscale", 192, 128)
    visit.check("enlarged")


def test_a_finding_is_read_and_the_hand_repaired(visit):
    page, job = visit.page, visit.draw(prompt="an open hand, photograph", steps=8, seed=2)
    visit.show(job)
    visit.choose("Parts")
    page.get_by_role("button", name="Check hands").click()
    page.get_by_text("One part.").wait_for()
    page.locator(".head", has_text="hand:").click()
    page.get_by_text("what the critic saw").wait_for()
    # Whatever the critic says of this hand, it says why.
    assert len(page.locator("li.on p").inner_text()) > 10
    visit.check("finding")
    done = visit.order("Draw this part again")
    assert done["kind"] == "repair"
    page.locator(".label").wait_for()
    visit.choose("Parts")
    page.locator(".head", has_text="hand:").first.click()
    visit.check("repaired")
    page.get_by_role("button", name="Leave it").click()
    page.locator(".layer .box").wait_for(state="detached")


def test_a_region_gets_a_prompt_of_its_own(visit):
    page, job = visit.page, visit.draw()
    visit.show(job)
    visit.choose("Parts")
    page.get_by_role("button", name="Mark a region").click()
    left, top, width, height = find_place(page)
    side = min(width, height)
    middle = (left + width / 2, top + height / 2)
    visit.drag([(middle[0] - side / 4, middle[1] - side / 4), (middle[0] + side / 4, middle[1] + side / 4)])
    page.get_by_label("What should be there?").fill("a window")
    visit.check("region")
    done = visit.order("Draw this part again")
    boxes = done["request"]["focus"]["boxes"]
    assert [(done["kind"], box["prompt"]) for box in boxes] == [("focus", "a window")]
    assert len(done["result"]["pictures"][0]["focus"]) == 1
