"""The frame of every report: one HTML file with its own look, script and rules of what may run.

Nothing is loaded from elsewhere. A browser runs only the style and the script whose digests stand in the head of the
page. Every text is escaped. Knows no render. Start reading at `write_frame`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import unicodedata
from collections.abc import Sequence
from html import escape

from PIL import Image

from sfumato.core.geometry import PixelSize
from sfumato.core.version import __version__
from sfumato.workflows.files.output_paths import MARK

# A page is made to be mailed: its pictures are at most this wide, and lossy.
WIDEST_PICTURE_PX = 1600
PICTURE_QUALITY = 88
# A heading is read at a glance; the whole prompt stands further down.
LONGEST_HEADING = 160
# One prompt may hold 20,000 characters, but no tab of a browser shows more than this.
LONGEST_TITLE = 80
# Marks that change the direction of the text around them (Unicode Standard Annex 9).
BIDI_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

STYLE = """
:root { color-scheme: light dark; --ink: #22201d; --soft: #6b665e; --paper: #f7f5f1; --card: #fffdf9; --line: #e3ded5;
  --mark: #a4552f; --good: #3f6b3a; --plan: #d8cbb9; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece7de; --soft: #a8a297; --paper: #181715; --card: #211f1c;
  --line: #37332e; --mark: #e08a5b; --good: #8fbf85; --plan: #4a443c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 60px; }
h1 { font: 600 30px/1.25 Georgia, "Times New Roman", serif; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font: 600 20px/1.3 Georgia, "Times New Roman", serif; margin: 48px 0 14px; }
h3 { font-size: 15px; font-weight: 600; margin: 22px 0 8px; color: var(--soft); }
a { color: var(--mark); }
.negative, .note, figcaption, footer { color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { margin-top: 8px; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: var(--line); }
.hero { margin-top: 24px; text-align: center; }
.stage { position: relative; display: inline-block; max-width: 100%; vertical-align: top; --cut: 0%;
  border-radius: 6px; overflow: hidden; box-shadow: 0 6px 30px rgb(0 0 0 / .18); }
.stage img { border-radius: 0; }
.stage .over { position: absolute; inset: 0; width: 100%; height: 100%; background: none;
  clip-path: inset(0 calc(100% - var(--cut)) 0 0); }
.stage .edge { position: absolute; top: 0; bottom: 0; left: calc(var(--cut) - 1px); width: 2px; background: #fff;
  box-shadow: 0 0 0 1px rgb(0 0 0 / .35); pointer-events: none; }
.stage .edge::after { content: "\\2194"; position: absolute; top: 50%; left: -15px; width: 32px; height: 32px;
  margin-top: -16px; border-radius: 50%; background: #fff; color: #22201d; font: 18px/32px system-ui, sans-serif;
  box-shadow: 0 0 0 1px rgb(0 0 0 / .35); }
.stage .slide { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
  touch-action: pan-y; }
.stage .slide:focus-visible ~ .edge { outline: 3px solid var(--mark); }
.stage .marks { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; visibility: hidden; }
.marks rect { fill: none; stroke: #ff3b1f; stroke-width: 2px; vector-effect: non-scaling-stroke; }
.see { position: absolute; opacity: 0; pointer-events: none; }
#see-half:checked ~ .stage { --cut: 50%; }
#see-base:checked ~ .stage { --cut: 100%; }
#see-result:checked ~ .stage .edge, #see-base:checked ~ .stage .edge { visibility: hidden; }
#see-marks:checked ~ .stage .marks { visibility: visible; }
.views { display: flex; flex-wrap: wrap; justify-content: center; gap: 8px; margin-top: 14px; }
.views label, .copy { border: 1px solid var(--line); border-radius: 999px; background: var(--card); color: var(--ink);
  padding: 5px 14px; font: 14px/1.5 system-ui, "Segoe UI", sans-serif; cursor: pointer; }
#see-result:checked ~ .views [for=see-result], #see-half:checked ~ .views [for=see-half],
#see-base:checked ~ .views [for=see-base], #see-marks:checked ~ .views [for=see-marks] { border-color: var(--mark);
  color: var(--mark); box-shadow: inset 0 0 0 1px var(--mark); }
#see-result:focus-visible ~ .views [for=see-result], #see-half:focus-visible ~ .views [for=see-half],
#see-base:focus-visible ~ .views [for=see-base], #see-marks:focus-visible ~ .views [for=see-marks],
.copy:focus-visible, summary:focus-visible, pre:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
.facts { display: flex; flex-wrap: wrap; gap: 1px; margin: 28px 0 0; background: var(--line);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.facts div { flex: 1 1 136px; background: var(--card); padding: 12px 14px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 2px 0 0; font-size: 18px; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; margin-bottom: 26px; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 18px; margin-bottom: 26px; }
.pair img, .row img, .base img { width: 100%; }
.base { max-width: 540px; }
.verdict { display: flex; gap: 12px; align-items: baseline; margin: 0 0 12px; padding: 14px 16px; background: var(--card);
  border: 1px solid var(--line); border-left: 4px solid var(--good); border-radius: 6px; font-size: 17px; }
.verdict.look { border-left-color: var(--mark); }
details { margin: 12px 0; }
summary { cursor: pointer; color: var(--soft); font-size: 15px; padding: 4px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line);
  font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 8px 12px; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
thead th { color: var(--soft); font-size: 13px; font-weight: 600; }
td small { display: block; max-width: 56ch; color: var(--soft); font-size: 13px; line-height: 1.4; }
td.look { color: var(--mark); font-weight: 600; }
.short { white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
.settings th { width: 22%; color: var(--soft); font-weight: 500; }
.bar { width: 24%; min-width: 90px; }
.bar svg { display: block; width: 100%; height: 16px; margin-top: 4px; }
.planned { fill: var(--plan); }
.took { fill: var(--mark); }
.key { display: inline-block; width: 12px; height: 8px; margin: 0 4px 1px 12px; border-radius: 2px; vertical-align: middle; }
.key.planned { background: var(--plan); }
.key.took { background: var(--mark); }
.clip { position: relative; }
.copy { position: absolute; top: 7px; right: 7px; padding: 3px 12px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 12px 92px 12px 14px; margin: 0;
  min-height: 46px; max-height: 320px; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: isolate; font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; user-select: all;
  -webkit-user-select: all; }
footer { margin-top: 56px; }
@media (max-width: 640px) { main { padding: 24px 14px 48px; } h1 { font-size: 25px; } .pair { gap: 8px; }
  .minor, .stack thead { display: none; } th, td { padding: 8px; }
  .stack tr { display: block; padding: 8px; border-bottom: 1px solid var(--line); } .stack tr:last-child { border: 0; }
  .stack td { display: block; padding: 1px 0; border: 0; }
  .stack [data-name]::before { content: attr(data-name) ": "; color: var(--soft); font-weight: 400; }
  .facts div { flex-basis: 124px; } .settings th { width: 30%; } }
@media print { .views, .copy, .edge { display: none; } pre { max-height: none; } }
"""

# Without it the page still works: the views are plain radio buttons, and one click selects a whole text.
SCRIPT = """
"use strict";
for (const text of document.querySelectorAll("pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  text.before(button);
}
for (const stage of document.querySelectorAll(".stage")) {
  const slide = stage.querySelector(".slide");
  const views = document.querySelectorAll("[name=see]");
  if (!slide) continue;
  slide.hidden = false;
  slide.addEventListener("input", () => {
    for (const view of views) view.checked = false;
    stage.style.setProperty("--cut", slide.value + "%");
  });
  for (const view of views) view.addEventListener("change", () => {
    stage.style.removeProperty("--cut");
    slide.value = view.value;
  });
}
"""


def write_frame(title: str, parts: list[str], foot: str) -> str:
    """Return a whole page of parts in HTML; empty ones are left out, title and foot are escaped."""
    rules = (
        f"default-src 'none'; img-src data:; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{MARK}\n"
        f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(shorten(title, LONGEST_TITLE))} · Sfumato</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Sfumato {escape(__version__)} · {escape(foot)}</footer>\n</main>\n<script>{SCRIPT}</script>\n"
        "</body>\n</html>\n"
    )


def _digest(text: str) -> str:
    """Return the source expression of Content Security Policy that allows exactly this inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def write_heading(prompt: str, negative: str = "") -> str:
    """Return the head of a page: the prompt, shortened where it is long, and what was to be left out."""
    title = escape(shorten(prompt, LONGEST_HEADING)) or "<em>no prompt</em>"
    without = escape(shorten(negative, LONGEST_HEADING))
    return (
        f"<header><h1 dir=auto>{title}</h1>"
        + (f"<p class=negative>without: {without}</p>" if without else "")
        + "</header>"
    )


def shorten(text: str, most: int) -> str:
    """Return a text in one line of at most `most` characters, without control characters and marks of direction."""
    visible = "".join(" " if _is_control(one) else one for one in text[: 2 * most] if one not in BIDI_MARKS)
    line = " ".join(visible.split())
    return line if len(line) <= most and len(text) <= 2 * most else f"{line[: most - 1].rstrip()}…"


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def write_copy_text(text: str) -> str:
    """Return a text that one click selects and a button copies, character by character."""
    # A parser drops the first line feed of a `pre`, and turns a carriage return into a line feed.
    packed = escape(text).replace("\r", "&#13;")
    return f"<div class=clip><pre dir=auto tabindex=0>\n{packed}</pre></div>"


def write_figure(picture: Image.Image, caption: str) -> str:
    """Return a picture with a caption, as HTML."""
    return f"<figure>{write_image(picture, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def write_image(picture: Image.Image, words: str, *, size: PixelSize | None = None, name: str = "") -> str:
    """Return a picture as HTML: in the page itself, reduced where it is wide.

    `size` is the size in px at which a browser shows it, `name` its class in the style.
    """
    shown = picture
    if picture.width > WIDEST_PICTURE_PX:
        height = max(1, round(picture.height * WIDEST_PICTURE_PX / picture.width))
        shown = picture.resize((WIDEST_PICTURE_PX, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    shown.save(stream, format="WEBP", quality=PICTURE_QUALITY)
    text = base64.b64encode(stream.getvalue()).decode()
    size = size or PixelSize(*shown.size)
    return (
        f'<img{f" class={name}" if name else ""} src="data:image/webp;base64,{text}" alt="{escape(words)}" '
        f'width="{size.width}" height="{size.height}">'
    )


def write_table(head: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table of rows in HTML; a phone shows it row by row, with the names that `write_cell` gave its cells."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<div class=scroll><table class=stack><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def write_cell(name: str, text: str, *, look: bool = False) -> str:
    """Return a cell of a text in the column of a name; `look` draws attention to it."""
    return f'<td data-name="{escape(name)}"{" class=look" if look else ""}>{escape(text)}</td>'


def write_time(seconds: float) -> str:
    """Write a duration the way people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def write_bytes(count: int | None) -> str:
    """Write memory in GiB, or that it was not measured."""
    return "not measured" if count is None else f"{count / 1024**3:.2f} GiB"
