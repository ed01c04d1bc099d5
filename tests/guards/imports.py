"""Who may import whom, decided from the syntax tree alone.

Knows the ranks and the borders for outside packages; opens no module. Start reading at `RANKS`,
then `check_ranks`, `check_outside`, `check_functions` and `find_cycles`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guards.source import Function, Module

# A package imports lower ranks and itself; packages of one rank are blind to each other.
RANKS = {
    # `sfumato serve` starts the server.
    "cli": 9,
    "server": 8,
    "studio": 8,
    "lab": 7,
    "api": 6,
    "workflows": 5,
    "render": 4,
    "critic": 4,
    "customize": 4,
    "curate": 4,
    "world": 4,
    "train": 4,
    "models": 3,
    "canvas": 2,
    "nn": 2,
    "core": 1,
    "": 0,
}
# Teaching a concept trains, with the loop's own optimiser and checkpoints.
SIDEWAYS = frozenset({("customize", "train")})
# Outside packages that only some of ours may import; one not named here is free above core and nn.
OUTSIDE = {
    "diffusers": {"models"},
    "transformers": {"models"},
    "tokenizers": {"models"},
    "spandrel": {"models"},
    # Writing our own files is fine where they are made; weights are opened by models alone, behind its gate.
    "safetensors": {"models", "train", "critic"},
    "peft": {"models"},
    "skia": {"world"},
    "numba": {"world"},
    # models: its pictures alone, to try a number type on.
    "skimage": {"critic", "models"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "pydantic": {"server"},
    "sqlalchemy": {"server"},
    "prometheus_client": {"server"},
}
CLOSED = {
    "core": {"numpy", "PIL"},
    "canvas": {"numpy", "PIL"},
    "nn": {"numpy", "torch", "jaxtyping"},
    "world": {"numpy", "PIL", "skia", "scipy", "numba"},
}
# Parts of outside packages that only the laboratory may import, and why.
LAB_ONLY = {"scipy.stats": "takes more than a second of every render to import; scipy.special holds its functions"}
# Imports inside functions, by module prefix, with the reason.
INSIDE_FUNCTIONS = {
    "sfumato.cli": "`sfumato --help` must not wait for torch",
    "sfumato.models.load": "a picture of mini must not wait for diffusers and transformers",
    "sfumato.models.control": "a plan reads headers alone; networks and the filters of scikit-image come when they are used",
    "sfumato.models.upscaler.upscaler": "only a network upscaler needs spandrel",
    "sfumato.models.upscaler.number_type": "only the first use of a network needs the pictures of scikit-image",
    "sfumato.models.hardware.policy": "a plan reads the rates that an earlier process measured with torch",
    "sfumato.models.files.vae_file": "a plan describes an autoencoder and reads no weights",
    "sfumato.customize.build": "a plan finds what was learned and writes no weights",
    "sfumato.customize.memory.plan": "a plan of a usual shape, and a refusal, must not wait for torch",
    "sfumato.models.write_checkpoint": "a folder is copied without transformers; only a single file lacks tokenizers",
    "sfumato.models.empty": "the shapes of mini need no diffusers",
    "sfumato.customize.export": "a refusal of an export must not wait for torch",
    "sfumato.render.cohesive.input_picture": "a plan lays a picture out and looks at it with no network",
    "sfumato.render.cohesive.journal": "a plan asks for the version of the journal",
    "sfumato.render.passes.focus_box": "a plan frames crops and draws none",
    "sfumato.workflows.find.finders": "a plan asks which kinds a finder knows",
    "sfumato.workflows.focus.words": "a plan looks for no thing",
    "sfumato.workflows.focus.read_face": "a plan asks nobody to read a face",
    "sfumato.workflows.focus.read_hand": "a plan asks nobody to read a hand",
    "sfumato.workflows.personalize.resolve": "a plan resolves concepts and attaches none",
    "sfumato.workflows.forecast.plan_request": "only a plan with anatomy needs the critic of hands",
    "sfumato.server.serve": "a refusal must not wait for the server",
}
# Outside packages that any function may import late: a plan and a refusal hold none of them, see test_no_networks.
LATE = frozenset({"torch", "scipy", "safetensors"})


@dataclass(frozen=True)
class Edge:
    """One import: from a module to a dotted name, at a place."""

    source: str
    target: str
    place: str
    inside_function: bool
    typing_only: bool = False


def find_edges(module: Module, known: frozenset[str]) -> Iterator[Edge]:
    """Yield every import of a module, resolved to modules among `known` where it can be."""
    functions = [node for node in module.nodes if isinstance(node, Function)]
    typing = [node for node in module.nodes if isinstance(node, ast.If) and _asks_for_typing(node.test)]
    for node in module.nodes:
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _resolve_base(module, node)
            targets = [_deepest(f"{base}.{alias.name}", base, known | LAB_ONLY.keys()) for alias in node.names]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Edge(module.name, target, module.place(node), _lies_in(node, functions), _lies_in(node, typing))


def _asks_for_typing(test: ast.expr) -> bool:
    return any("TYPE_CHECKING" in (getattr(node, "id", ""), getattr(node, "attr", "")) for node in ast.walk(test))


def _lies_in(node: ast.stmt, blocks: Sequence[ast.stmt]) -> bool:
    """Tell whether a statement lies in one of some blocks, by its line."""
    return any(block.lineno <= node.lineno <= (block.end_lineno or 0) for block in blocks)


def _resolve_base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    here = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*here, *([node.module] if node.module else [])])


def _deepest(longer: str, shorter: str, known: frozenset[str]) -> str:
    return longer if longer in known else shorter


def package_of(name: str) -> str | None:
    """Return our package that a dotted name belongs to ('' for the root), None for an outside name."""
    parts = name.split(".")
    if parts[0] != "sfumato":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in RANKS else ""


def check_ranks(edges: Sequence[Edge]) -> list[str]:
    """Return the imports that go up or sideways."""
    found = []
    for edge in edges:
        source, target = package_of(edge.source), package_of(edge.target)
        if source is None or target is None or source in (target, "") or (source, target) in SIDEWAYS:
            continue
        if RANKS[target] >= RANKS[source] or (target == "lab" and source != "cli"):
            found.append(f"{edge.place}: {source} may not import {target} ({edge.target})")
    return found


def check_outside(edges: Sequence[Edge]) -> list[str]:
    """Return the imports of outside packages by one of ours that may not."""
    found = []
    for edge in edges:
        source, top = package_of(edge.source), edge.target.split(".")[0]
        if source is None or top == "sfumato" or top in sys.stdlib_module_names:
            continue
        if source == "lab":  # it compares with whatever there is
            continue
        closed = source in CLOSED and top not in CLOSED[source]
        for part, reason in LAB_ONLY.items():
            if edge.target == part or edge.target.startswith(f"{part}."):
                found.append(f"{edge.place}: only lab may import {part}: {reason}")
        if closed or (top in OUTSIDE and source not in OUTSIDE[top]):
            found.append(f"{edge.place}: {source or 'the root'} may not import {top}")
    return found


def check_functions(edges: Sequence[Edge]) -> list[str]:
    """Return the imports inside functions that no entry of the table allows."""
    return [
        f"{edge.place}: import of {edge.target} inside a function"
        for edge in edges
        if edge.inside_function
        and edge.target.split(".")[0] not in LATE
        and not any(_is_under(edge.source, prefix) for prefix in INSIDE_FUNCTIONS)
    ]


def _is_under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def find_cycles(edges: Sequence[Edge]) -> list[str]:
    """Return each group of modules that import each other in a ring, by the first place found."""
    graph: dict[str, dict[str, str]] = {}
    for edge in edges:
        # Names imported for annotations alone count too: two files that need each other's names are one subject.
        if package_of(edge.target) is not None and not edge.inside_function and edge.target != edge.source:
            graph.setdefault(edge.source, {}).setdefault(edge.target, edge.place)
    rings = {}
    for start in graph:
        ring = _find_way(graph, start, start)
        if ring is not None:
            rings.setdefault(frozenset(ring), f"{graph[start][ring[0]]}: ring {' -> '.join([start, *ring])}")
    return list(rings.values())


def _find_way(graph: dict[str, dict[str, str]], start: str, goal: str) -> list[str] | None:
    ways, seen = [[step] for step in graph[start]], set(graph[start])
    while ways:
        way = ways.pop(0)
        if way[-1] == goal:
            return way
        fresh = [step for step in graph.get(way[-1], ()) if step not in seen]
        seen.update(fresh)
        ways.extend([*way, step] for step in fresh)
    return None
