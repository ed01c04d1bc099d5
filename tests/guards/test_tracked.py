"""What is committed names no registry, no machine, and is no larger than it has to be."""

import re

from guards.source import ROOT, find_tracked, report

# Written in pieces, so that this file does not name what it forbids.
HOSTS = re.compile(
    "|".join(["py" + r"pi\.org", "python" + "hosted", "npm" + r"js\.(org|com)", "pytorch" + r"\.org/whl"])
)
MACHINE = re.compile(r"(?:^|[^\w.:/-])/(?:wo" + "rk|fa" + "rm|ro" + r"ot|home/\w+|Users/\w+)/", re.MULTILINE)
LARGEST_BYTES = 4 * 2**20
WEIGHTS = ROOT / "src" / "sfumato" / "data"


def texts():
    for path in find_tracked():
        raw = path.read_bytes()
        if b"\0" not in raw[:8192]:
            yield str(path.relative_to(ROOT)), raw.decode(errors="replace")


def lines_with(pattern, text):
    return [text.count("\n", 0, match.start()) + 1 for match in pattern.finditer(text)]


def test_no_registry_host_is_named():
    report([f"{name}:{line}" for name, text in texts() for line in lines_with(HOSTS, text)])


def test_no_path_of_a_machine_is_named():
    report([f"{name}:{line}" for name, text in texts() for line in lines_with(MACHINE, text)])


def test_only_weights_are_large():
    large = [path for path in find_tracked() if path.stat().st_size > LARGEST_BYTES]
    report([str(path.relative_to(ROOT)) for path in large if not path.is_relative_to(WEIGHTS)])


def test_each_check_bites():
    assert lines_with(HOSTS, "a\nhttps://py" + "pi.org/simple") == [2]
    assert lines_with(MACHINE, "cd /wo" + "rk/x") == [1]
    assert lines_with(MACHINE, "see `/ro" + "ot/.cache`") == [1]
    assert not lines_with(MACHINE, "src/wo" + "rk/x and docs/home/a")
