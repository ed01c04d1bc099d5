"""`sfumato upscale`: parse, plan or run, print.

The same work as `render`, from a given picture in the place of a drawn base. Start reading at `upscale`.
"""

from __future__ import annotations

from sfumato.cli.options import UPSCALE_LACKS, UpscaleOptions, takes_options
from sfumato.cli.rendering import make_wishes, run_request, show_plan


@takes_options(UpscaleOptions, without=UPSCALE_LACKS)
def upscale(options: UpscaleOptions) -> None:
    """Grow a picture to a larger size, with new detail and a report beside it; --dry-run only says what it would cost."""
    from sfumato.cli.read_options import check_options, make_upscale
    from sfumato.models.describe import load_contract

    check_options(options)
    request = make_upscale(options, load_contract(options.model or "mini", vae=options.vae))
    wishes = make_wishes(options, request, words=f"{options.picture.stem} {request.size}")
    if options.dry_run:
        show_plan(request, wishes, as_json=options.json)
    else:
        run_request(request, wishes, as_json=options.json)
