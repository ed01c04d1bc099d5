"""`sfumato bench canvas` prints a table and ends with one line of JSON."""


def test_a_table_and_a_line_of_json(sfumato):
    done = sfumato("bench", "canvas", "--sides", "128")
    assert done.code == 0, done.err
    assert [row["kind"] for row in done.json["rows"]] == ["png", "tif", "dzi", "latents"]
    assert "memory MiB" in done.out
    assert "trial 4 of 4" in done.err


def test_sides_that_are_no_numbers_leave_with_2(sfumato):
    done = sfumato("bench", "canvas", "--sides", "2048;4096")
    assert done.code == 2
    assert "--sides" in done.err
