"""A plan looks at the disks there are, and knows two names of one disk."""

from pathlib import Path

import pytest

from bundles import tiny_mini
from sfumato.models.describe import load_contract
from sfumato.models.device import choose_policy
from sfumato.workflows import planning
from sfumato.workflows.planning import Wishes, make_budget


@pytest.mark.parametrize(
    ("spill", "is_one"), [("spill", True), ("spill/not/there/yet", True), (Path("/proc"), False), (Path("/dev"), False)]
)
def test_where_maps_go_may_be_the_disk_of_the_picture(tmp_path, monkeypatch, spill, is_one):
    monkeypatch.setattr(planning, "find_spill_folder", lambda: tmp_path / spill)
    on = (load_contract(tiny_mini()), choose_policy("cpu", "fp32"))
    assert make_budget(*on, Wishes(out=tmp_path / "new" / "a.png")).spill_shared is is_one
