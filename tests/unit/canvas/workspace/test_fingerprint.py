"""Where two pieces of work differ is said field by field, with both values."""

from sfumato.canvas.workspace.fingerprint import join_differences, list_differences

WORK = {"prompt": "a cat", "steps": 6, "method": {"kind": "cohesive", "strength": 0.35}, "loras": [{"path": "a"}]}


def list_changes(**changed):
    return list_differences(WORK, WORK | changed)


def test_fields_are_named_with_both_values_in_the_order_of_what_is_asked():
    assert list_changes() == []
    assert list_changes(steps=7) == ["steps: 6 in the work, 7 asked"]
    method = {"kind": "cohesive", "strength": 0.5}
    assert list_changes(prompt="a dog", method=method) == [
        'prompt: "a cat" in the work, "a dog" asked',
        "method.strength: 0.35 in the work, 0.5 asked",
    ]
    assert list_changes(loras=[{"path": "b"}]) == ["loras[0].path: a in the work, b asked"]


def test_what_one_of_them_has_not_is_told_too():
    assert list_differences({"steps": 6}, {"steps": 6, "vae": None}) == ["vae: (nothing) in the work, null asked"]
    assert list_changes(loras=[]) == [
        "loras: (nothing) in the work, [] asked",
        "loras[0].path: a in the work, (nothing) asked",
    ]


def test_long_values_are_shown_where_they_differ():
    long = "a house " * 30
    (said,) = list_differences({"prompt": long + "red" + long}, {"prompt": long + "blue" + long})
    assert "red" in said
    assert "blue" in said
    assert len(said) < 140


def test_a_line_holds_the_first_few():
    differences = [f"{number}: 1 in the work, 2 asked" for number in range(9)]
    assert join_differences(differences[:2]) == "0: 1 in the work, 2 asked; 1: 1 in the work, 2 asked"
    assert join_differences(differences).endswith("3: 1 in the work, 2 asked; 5 more")
