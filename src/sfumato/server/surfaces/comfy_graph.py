"""The usual graph of ComfyUI becomes the settings of one of our jobs; any other node is refused by its name.

A graph is read backwards from the node that saves: decode, sample, latent, model and words. Nothing of it is executed.
Knows no route. Start reading at `compile_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sfumato.core.errors import RequestError
from sfumato.server.queue.records import JobKind

MOST_NODES, DEEPEST = 200, 64
CONTROL_NODES = ("ControlNetApply", "ControlNetApplyAdvanced")
NODES = frozenset(
    {
        "CheckpointLoaderSimple", "CLIPTextEncode", "CLIPSetLastLayer", "EmptyLatentImage", "LoadImage", "LoadImageMask",
        "VAEEncode", "VAEEncodeForInpaint", "VAELoader", "SetLatentNoiseMask", "KSampler", "KSamplerAdvanced",
        "LatentUpscale", "LatentUpscaleBy", "LoraLoader", "UpscaleModelLoader", "ImageUpscaleWithModel", "VAEDecode",
        "VAEDecodeTiled", "SaveImage", "PreviewImage", *CONTROL_NODES, "ControlNetLoader", "Canny",
    }
)  # fmt: skip
SAMPLERS = {
    "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun", "ddim": "DDIM", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_2m_sde_gpu": "DPM++ 2M SDE", "dpmpp_sde": "DPM++ SDE",
    "dpmpp_sde_gpu": "DPM++ SDE", "uni_pc": "UniPC", "uni_pc_bh2": "UniPC", "lcm": "LCM",
}  # fmt: skip
SCHEDULES = {
    "normal": "model", "simple": "trailing", "ddim_uniform": "model", "karras": "karras", "exponential": "exponential",
    "sgm_uniform": "sgm_uniform",
}  # fmt: skip
_CELL_PX = 8


class UnknownNodeError(RequestError):
    """A graph has nodes that are not here; `nodes` names them by id."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        """Name the nodes."""
        names = ", ".join(sorted(set(nodes.values())))
        super().__init__("these nodes are not here", got=names, do=f"Nodes: {', '.join(sorted(NODES))}.")
        self.nodes = dict(nodes)


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """The job that a graph means: its kind, its settings, and the ids of the nodes that draw and save."""

    kind: JobKind
    settings: Mapping[str, Any]
    drawing_node: str
    saving_node: str


def compile_graph(graph: Mapping[str, Any], find_picture: Callable[[str], str]) -> CompiledGraph:
    """Return the job of a graph; `find_picture` gives the file id of the name of a sent picture.

    Raises:
        UnknownNodeError: nodes that are not here.
        RequestError: nothing is saved, or what is saved is not drawn by a sampler.
    """
    if not 0 < len(graph) <= MOST_NODES:
        raise RequestError(f"a graph has 1 to {MOST_NODES} nodes", got=len(graph))
    kinds = {str(name): str(_map(node).get("class_type")) for name, node in graph.items()}
    unknown = {name: kind[:100] for name, kind in kinds.items() if kind not in NODES}
    if unknown:
        raise UnknownNodeError(unknown)
    outputs = [name for name, kind in kinds.items() if kind in ("SaveImage", "PreviewImage")]
    if not outputs:
        raise RequestError("the graph saves nothing", do="Add a node SaveImage.")
    if len(outputs) > 1:
        raise RequestError("the graph saves more than once", got=len(outputs), do="Keep one node SaveImage.")
    return _Graph(graph=graph, find_picture=find_picture).compile(outputs[0])


@dataclass(eq=False, kw_only=True)
class _Graph:
    """A graph on its way to settings. A leaf."""

    graph: Mapping[str, Any]
    find_picture: Callable[[str], str]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    controls: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    depth: int = 0

    def compile(self, output: str) -> CompiledGraph:
        saving = self._inputs(output)
        kind, inputs = self._follow(saving, "images")
        if kind == "ImageUpscaleWithModel":
            self._upscale(inputs)
            return CompiledGraph(
                kind="upscale", settings=self.settings, drawing_node=str(saving["images"][0]), saving_node=output
            )
        if kind not in ("VAEDecode", "VAEDecodeTiled"):
            raise RequestError("what is saved is not drawn by a sampler", got=kind)
        self._read_vae(inputs)
        self._sample(*self._follow(inputs, "samples"))
        if self.controls:
            self.settings["controls"] = list(self.controls.values())
        return CompiledGraph(
            kind="render", settings=self.settings, drawing_node=str(inputs["samples"][0]), saving_node=output
        )

    def _upscale(self, inputs: Mapping[str, Any]) -> None:
        _, network = self._follow(inputs, "upscale_model")
        kind, picture = self._follow(inputs, "image")
        if kind != "LoadImage":
            do = "Draw first, then enlarge the picture in a second graph."
            raise RequestError("only a picture that was sent is enlarged by a network", got=kind, do=do)
        # A network of the ESRGAN family gives four times the side; other sizes are not said by this node.
        self.settings = {"picture": self.find_picture(str(picture.get("image"))), "scale": 4.0}
        self.settings["upscaler"] = _stem(network.get("model_name"))

    def _sample(self, kind: str, inputs: Mapping[str, Any]) -> None:
        if kind not in ("KSampler", "KSamplerAdvanced"):
            raise RequestError("what is decoded is not sampled", got=kind)
        said = self.settings
        sampler, schedule = str(inputs.get("sampler_name") or ""), str(inputs.get("scheduler") or "")
        if sampler not in SAMPLERS:
            raise RequestError("this sampler is not here", got=sampler, do=f"Samplers: {', '.join(SAMPLERS)}.")
        said |= {"sampler": SAMPLERS[sampler], "schedule": SCHEDULES.get(schedule, "automatic")}
        said["steps"], said["guidance"] = _number(inputs, "steps", int), _number(inputs, "cfg", float)
        said["seed"] = _number(inputs, "noise_seed" if kind == "KSamplerAdvanced" else "seed", int)
        strength = 1.0 if kind == "KSamplerAdvanced" else float(inputs.get("denoise", 1.0))
        if kind == "KSamplerAdvanced":
            first = int(inputs.get("start_at_step") or 0)
            strength = max(0.0, 1.0 - first / max(1, said["steps"]))
        said["prompt"] = self._read_text(inputs, "positive")
        negative = self._read_text(inputs, "negative")
        if negative and said["guidance"] != 1:
            said["negative"] = negative
        self._read_model(*self._follow(inputs, "model"))
        self._read_latent(*self._follow(inputs, "latent_image"), strength)

    def _read_latent(self, kind: str, inputs: Mapping[str, Any], strength: float) -> None:
        said = self.settings
        if kind == "EmptyLatentImage":
            said["size"] = f"{_cells(_number(inputs, 'width', int))}x{_cells(_number(inputs, 'height', int))}"
            said["batch"] = int(inputs.get("batch_size") or 1)
        elif kind in ("VAEEncode", "VAEEncodeForInpaint"):
            said |= {"init": self._read_picture(inputs, "pixels"), "strength": strength}
            if kind == "VAEEncodeForInpaint":
                said |= {"mask": self._read_picture(inputs, "mask"), "mask_fill": "grey"}
        elif kind == "SetLatentNoiseMask":
            self._read_latent(*self._follow(inputs, "samples"), strength)
            said["mask"] = self._read_picture(inputs, "mask")
        elif kind in ("LatentUpscale", "LatentUpscaleBy"):
            self._read_second_pass(kind, inputs, strength)
        else:
            raise RequestError("a sampler starts from another node here", got=kind)

    def _read_second_pass(self, kind: str, inputs: Mapping[str, Any], strength: float) -> None:
        """Read what a second sampler enlarges: the same picture, drawn at once at the larger size by our method."""
        mine = dict(self.settings)
        self._sample(*self._follow(inputs, "samples"))
        base = str(self.settings.get("size") or "")
        if not base:
            raise RequestError("a second pass starts from an empty latent here", do="Enlarge the picture afterwards.")
        width, height = (int(side) for side in base.split("x"))
        if kind == "LatentUpscaleBy":
            scale = float(inputs.get("scale_by") or 1.0)
            width, height = int(width * scale), int(height * scale)
        else:
            width, height = _number(inputs, "width", int), _number(inputs, "height", int)
        kept = {name: mine[name] for name in ("prompt", "negative") if name in mine}
        self.settings |= kept | {"size": f"{_cells(width)}x{_cells(height)}", "level_strength": strength}

    def _read_model(self, kind: str, inputs: Mapping[str, Any]) -> None:
        if kind == "CheckpointLoaderSimple":
            self.settings["model"] = str(inputs.get("ckpt_name") or "")
        elif kind == "LoraLoader":
            weight = float(inputs.get("strength_model", 1.0))
            self.settings.setdefault("loras", []).append(f"{inputs.get('lora_name')}:{weight:g}")
            self._read_model(*self._follow(inputs, "model"))
        else:
            raise RequestError("a model comes from another node here", got=kind)

    def _read_text(self, inputs: Mapping[str, Any], name: str) -> str:
        kind, found = self._follow(inputs, name)
        if kind in CONTROL_NODES:
            self._read_control(str(inputs[name][0]), found)
            # The simple node has one way through; of the other each output is one of its two inputs.
            output = cast("list[Any]", inputs[name])[1:2]
            through = "conditioning" if kind == "ControlNetApply" else ("negative" if output == [1] else "positive")
            return self._read_text(found, through)
        if kind != "CLIPTextEncode":
            raise RequestError("words come from another node here", got=kind)
        clip, more = self._follow(found, "clip")
        if clip == "CLIPSetLastLayer":
            self.settings["clip_skip"] = max(1, -int(more.get("stop_at_clip_layer", -1)))
        text = found.get("text")
        if not isinstance(text, str):
            raise RequestError("the text of CLIPTextEncode is a text here", got=type(text).__name__)
        return text

    def _read_control(self, node: str, inputs: Mapping[str, Any]) -> None:
        """Read a node that applies a control network; one that both halves of guidance pass counts once."""
        kind, network = self._follow(inputs, "control_net")
        if kind != "ControlNetLoader":
            raise RequestError("a control network comes from another node here", got=kind)
        kind, found = self._follow(inputs, "image")
        picture, module = (found, "canny") if kind == "Canny" else (inputs, "none")
        unit: dict[str, Any] = {
            "network": str(network.get("control_net_name") or ""),
            "picture": self._read_picture(picture, "image"),
            "module": module,
            "weight": _number(inputs, "strength", float),
        }
        if "start_percent" in inputs or "end_percent" in inputs:
            unit |= {"start": _number(inputs, "start_percent", float), "end": _number(inputs, "end_percent", float)}
        if module == "canny":
            # Shares of the whole range there.
            unit["thresholds"] = [255.0 * _number(found, f"{name}_threshold", float) for name in ("low", "high")]
        self.controls[node] = unit

    def _read_vae(self, inputs: Mapping[str, Any]) -> None:
        kind, found = self._follow(inputs, "vae")
        if kind == "VAELoader":
            self.settings["vae"] = str(found.get("vae_name") or "")

    def _read_picture(self, inputs: Mapping[str, Any], name: str) -> str:
        kind, found = self._follow(inputs, name)
        if kind not in ("LoadImage", "LoadImageMask"):
            raise RequestError("a picture comes from another node here", got=kind)
        return self.find_picture(str(found.get("image") or ""))

    def _follow(self, inputs: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]]:
        """Return the kind and the inputs of the node that an input is linked to."""
        self.depth += 1
        link = inputs.get(name)
        if self.depth > DEEPEST or not isinstance(link, list) or not link:
            raise RequestError(f"the input {name} is not linked to a node", got=str(link)[:60])
        node = str(cast("list[Any]", link)[0])
        return str(_map(self.graph.get(node)).get("class_type")), self._inputs(node)

    def _inputs(self, node: str) -> Mapping[str, Any]:
        return _map(_map(self.graph.get(node)).get("inputs"))


def _map(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _number(inputs: Mapping[str, Any], name: str, kind: type) -> Any:
    value = inputs.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"the input {name} is a number here", got=str(value)[:60])
    return kind(value)


def _cells(side: int) -> int:
    return max(_CELL_PX, side // _CELL_PX * _CELL_PX)


def _stem(name: Any) -> str:
    return str(name or "").removesuffix(".safetensors").removesuffix(".pth")
