"""What a request says of control: networks, the pictures they see, how much they count and in which steps.

Knows words and digests; no picture and no network. Start reading at `ControlRef`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sfumato.core.errors import RequestError
from sfumato.core.request_parts.weights import check_file
from sfumato.core.validate import check_float

# Each unit asks a network of half a UNet in every step, and its weights stay in memory.
MOST_CONTROLS = 8
MOST_WEIGHT = 2.0
# Who leads where words and picture disagree.
BALANCED, PROMPT, CONTROL = "balanced", "prompt", "control"
MODES = (BALANCED, PROMPT, CONTROL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRef:
    """A control network and the picture it sees, both with digests.

    `weight` multiplies what the network adds. It acts from the share `start` of the steps to the share `end`. With `mode`
    prompt its shallow layers count less, with control it acts on the prompt alone and not on what guidance points away from.
    """

    network: str
    network_sha256: str
    picture: str
    sha256: str
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: str = BALANCED

    def __post_init__(self) -> None:
        check_file("a control network", self.network, self.network_sha256)
        check_file("a control picture", self.picture, self.sha256)
        check_float("the weight of a control", self.weight, low=0.0, high=MOST_WEIGHT)
        check_float("the start of a control", self.start, low=0.0, high=1.0)
        check_float("the end of a control", self.end, low=0.0, high=1.0)
        if self.start >= self.end:
            got = f"{self.start:g}-{self.end:g}"
            raise RequestError("a control starts before it ends", got=got, do="Say shares of the steps, as 0-0.8.")
        if self.mode not in MODES:
            raise RequestError("unknown mode of a control", got=self.mode, do=f"Use {', '.join(MODES)}.")

    def acts_at(self, step: int, steps: int) -> bool:
        """Tell whether it acts in step `step`, from 0, of `steps`; a step that lies only partly in its share is left out."""
        return step / steps >= self.start and (step + 1) / steps <= self.end

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        mode = "" if self.mode == BALANCED else f":{self.mode}"
        return f"{self.network}:{self.picture}:{self.weight!r}:{self.start!r}-{self.end!r}{mode}"
