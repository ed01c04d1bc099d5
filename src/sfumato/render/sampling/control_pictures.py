"""The control pictures of a request, cut for each call as the windows cut the canvas.

A control picture shows what the target shows: it is cropped to the shape of the target, as a starting picture is, and laid
on every canvas on the way there. Knows pictures, boxes and steps; asks no network. Start reading at
`ControlPictures.cut`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfumato.core.geometry import LatentBox, PixelSize
from sfumato.core.request import InpaintSource
from sfumato.core.request_parts.seamless import OFF
from sfumato.core.resampling import fit_box
from sfumato.models.control.residuals import ControlInput
from sfumato.nn.ring import cut_ring
from sfumato.render.layout import show_whole
from sfumato.render.sampling.pixels import cut_picture, to_tensor

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from sfumato.core.request import RenderRequest
    from sfumato.core.resampling import FloatBox
    from sfumato.render.stages import Stage

# A picture is laid on a canvas of up to so many px once, and then cut; on a larger canvas it is resampled window by
# window, which takes memory for one of them.
MOST_LAID_PX = 2**24


@dataclass(eq=False, kw_only=True)
class ControlPictures:
    """Hold the control pictures of one request, RGB, and its control networks by name. A leaf.

    `base` is the canvas that the plan measures by: it says what of it every stage shows.
    """

    request: RenderRequest
    networks: dict[str, Any]
    pictures: tuple[Image, ...]
    base: PixelSize
    factor: int
    _laid: dict[PixelSize, list[Tensor]] = field(default_factory=dict[PixelSize, "list[Tensor]"])

    def cut(self, stage: Stage, boxes: tuple[LatentBox, ...], step: int, steps: int) -> list[ControlInput]:
        """Return what acts in step `step` of `steps` in a batch of equal windows of a stage's canvas, in latent cells.

        Where `boxes` go beyond a canvas whose sides meet, so do the pictures.
        """
        return [
            ControlInput(
                network=self.networks[ref.network],
                picture=self._cut_one(index, stage, boxes),
                weight=ref.weight,
                mode=ref.mode,
            )
            for index, ref in enumerate(self.request.controls)
            if ref.acts_at(step, steps)
        ]

    def _cut_one(self, index: int, stage: Stage, boxes: tuple[LatentBox, ...]) -> Tensor:
        """Return one picture under windows, [windows, 3, H, W] in 0 to 1."""
        import torch

        places = [LatentBox(*(side * self.factor for side in (at.left, at.top, at.right, at.bottom))) for at in boxes]
        if self.request.seamless != OFF or stage.canvas.area <= MOST_LAID_PX:
            laid = self._lay(stage)[index]
            cuts = [cut_ring(laid, place) for place in places]
        else:
            shown = self._find_shown(index, stage)
            cuts = [self._resample(index, _cut_share(shown, stage.canvas, place), place) for place in places]
        return torch.cat(cuts).float().div(255.0)

    def _lay(self, stage: Stage) -> list[Tensor]:
        """Return every picture on the canvas of a stage, [1, 3, H, W] uint8; the last canvas is kept."""
        if stage.canvas not in self._laid:
            whole = LatentBox(0, 0, stage.canvas.width, stage.canvas.height)
            shown = [self._find_shown(index, stage) for index in range(len(self.pictures))]
            self._laid = {stage.canvas: [self._resample(index, box, whole) for index, box in enumerate(shown)]}
        return self._laid[stage.canvas]

    def _resample(self, index: int, box: FloatBox, place: LatentBox) -> Tensor:
        import torch

        cut = cut_picture(self.pictures[index], box, PixelSize(place.width, place.height))
        return ((to_tensor(cut) + 1.0) * 127.5).round().to(torch.uint8)

    def _find_shown(self, index: int, stage: Stage) -> FloatBox:
        """Return what a stage's canvas shows of a picture, in px of that; it may be more than there is."""
        given = fit_box(PixelSize(*self.pictures[index].size), self.request.size)
        if isinstance(self.request.source, InpaintSource):
            # The canvas of a masked picture begins where the picture does, and may end up to a cell later.
            scale = (given[2] - given[0]) / self.request.size.width
            far = (given[0] + stage.canvas.width * scale, given[1] + stage.canvas.height * scale)
            return (given[0], given[1], *far)
        wanted, shown = fit_box(self.base, self.request.size), stage.shown or show_whole(self.base).shown
        scale = ((given[2] - given[0]) / (wanted[2] - wanted[0]), (given[3] - given[1]) / (wanted[3] - wanted[1]))
        left, right = (given[0] + (side - wanted[0]) * scale[0] for side in (shown[0], shown[2]))
        top, bottom = (given[1] + (side - wanted[1]) * scale[1] for side in (shown[1], shown[3]))
        return (left, top, right, bottom)


def _cut_share(shown: FloatBox, canvas: PixelSize, place: LatentBox) -> FloatBox:
    """Return what a part of a canvas shows, where all of it shows `shown`."""
    wide, high = (shown[2] - shown[0]) / canvas.width, (shown[3] - shown[1]) / canvas.height
    left, right = (shown[0] + side * wide for side in (place.left, place.right))
    top, bottom = (shown[1] + side * high for side in (place.top, place.bottom))
    return (left, top, right, bottom)
