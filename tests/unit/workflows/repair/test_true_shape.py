"""A checkpoint of the true shape of SD 1.5 with random weights repairs nothing: it is refused, and no byte changes."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from checkpoints import write_folder
from sfumato.core.geometry import PixelSize
from sfumato.core.request import AnatomySettings, HandBox, PictureMethod, PictureSource, RenderRequest
from sfumato.models.load import load_model
from sfumato.render.progress import RenderResult
from sfumato.workflows.find.find import open_store
from sfumato.workflows.repair.run import mend_result


@pytest.mark.slow
def test_random_weights_change_no_byte_of_a_photograph(tmp_path):
    folder = write_folder(tmp_path / "folder", "sd15", tiny=False, dtype=torch.float16)
    photograph = Image.fromarray(data.astronaut())
    before = open_store(photograph)
    size = PixelSize(*photograph.size)
    # Her hands lie folded below the flag; one is named as if it had a digit too many.
    box = HandBox(left=130, top=380, width=110, height=100, cause="extra")
    settings = AnatomySettings(mode="repair", boxes=(box,), strengths=(0.75,), candidates=1, new_seed=False)
    request = RenderRequest(
        prompt="a photo of an astronaut",
        size=size,
        steps=2,
        seed=1,
        source=PictureSource(path="photo", sha256="0" * 64, size=size),
        method=PictureMethod(),
        anatomy=settings,
    )
    result = RenderResult(shown=before, base=None, trace=())
    model = load_model(folder, device="cpu")
    steps = mend_result(result, request=request, model=model, space=None, window_batch=1)
    ticks = 0
    while True:
        try:
            next(steps)
            ticks += 1
        except StopIteration as end:
            after, anatomy = end.value
            break
    (outcome,) = anatomy.outcomes
    assert ticks >= 1
    assert outcome.verdict == "rolled-back"
    assert outcome.rounds[0].reasons
    assert after is result
    assert np.array_equal(after.pixels.read(size.box), np.asarray(photograph))
    assert len(anatomy.list_wrong()) == 1
