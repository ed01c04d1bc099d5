"""The built page belongs to its sources, is small, asks nobody else, and offers only words that mini knows."""

import gzip
import hashlib
import re

from guards.source import ROOT, find_tracked, report
from sfumato import api
from sfumato.studio import find_pages

SOURCES = ROOT / "studio"
# As `studio/record-sources.ts` reads them.
READ = (
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "record-sources.ts",
    "svelte.config.js",
    "tsconfig.json",
    "src",
    "public",
)
MOST_PACKED_BYTES, MOST_BYTES = 400_000, 1_000_000


def list_sources():
    for name in READ:
        path = SOURCES / name
        yield from ([path] if path.is_file() else (one for one in path.rglob("*") if one.is_file()))


def digest_sources(paths):
    whole = hashlib.sha256()
    for name, path in sorted((path.relative_to(SOURCES).as_posix(), path) for path in paths):
        whole.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()


def test_the_build_belongs_to_its_sources():
    told = (find_pages() / "SOURCES.sha256").read_text().strip()
    assert told == digest_sources(list_sources()), "the page is older than its sources; run `make studio`"


def test_every_file_of_the_page_is_tracked():
    tracked = set(find_tracked())
    report([str(path) for path in find_pages().rglob("*") if path.is_file() and path not in tracked])


def test_the_page_is_small():
    packed = [path.read_bytes() for path in find_pages().rglob("*.gz")]
    plain = [path.read_bytes() for path in find_pages().rglob("*") if path.is_file() and path.suffix != ".gz"]
    assert packed, "scripts and styles are committed packed"
    assert sum(map(len, [*plain, *map(gzip.decompress, packed)])) <= MOST_BYTES
    assert sum(len(gzip.compress(file)) for file in plain) + sum(map(len, packed)) <= MOST_PACKED_BYTES


def test_nothing_stands_inside_the_page_that_its_rules_forbid():
    page = (find_pages() / "index.html").read_text()
    assert re.search(r'<script type="module" crossorigin src="\./assets/\w+\.js"></script>', page)
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)|https?://", page)


def test_the_lock_names_no_address():
    text = (SOURCES / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in text
    assert "http" not in text, "npm writes where packages ask for money; take their `funding` out"


def test_every_word_that_is_offered_is_known():
    text = (SOURCES / "src" / "lib" / "words.ts").read_text()
    lists = re.findall(r"phrases: \[([^\]]*)\]|\.concat\(([^)]*)\)|prompt: (\"[^\"]*\")", text)
    phrases = [phrase for found in lists for phrase in re.findall(r'"([^"]+)"', "".join(found))]
    assert len(phrases) > 50
    report([f"{phrase}: {unknown}" for phrase in phrases if (unknown := api.find_unknown_words(phrase))])
