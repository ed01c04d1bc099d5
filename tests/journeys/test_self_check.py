"""A render beyond the native size says how it held up against its base; one of native size has nothing to say."""


def test_json_holds_the_checks_of_a_large_picture(render, room):
    done = render("a cat", "--size", "128x96", "--method", "gobig", "--out", "cat.png", "--json")
    assert done.code == 0
    checks = done.json["checks"]
    assert {"lattice", "base consistency", "phantom mass"} <= set(checks["measures"])
    assert all(set(verdict) == {"value", "unit", "limit", "bad", "fine"} for verdict in checks["measures"].values())
    page = (room / "cat.html").read_text()
    assert "Self-check" in page
    assert "self-check</td>" in page


def test_a_native_render_has_nothing_to_check(render, room):
    done = render("a cat", "--out", "cat.png", "--json")
    assert done.json["checks"] is None
    assert "Self-check" not in (room / "cat.html").read_text()
