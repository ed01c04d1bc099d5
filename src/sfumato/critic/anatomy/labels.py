"""The words of the parser: what a pixel can be, which digits a hand has, in which state a digit is, what can be wrong.

Knows neither networks nor pictures. Start reading at `PARTS` and `DIGITS`.
"""

from __future__ import annotations

PARTS = ("background", "arm", "palm", "segment1", "segment2", "segment3", "nail")
"""What a pixel is. Segment 1 lies next to the palm; a sleeve counts as arm; the thumb has two segments."""
DIGITS = ("thumb", "index", "middle", "ring", "little", "extra")
"""Which digit a pixel of a segment or nail belongs to; all digits beyond five are `extra`."""
STATES = ("visible", "folded", "occluded", "out-of-frame", "absent")
CAUSES = ("none", "extra", "missing", "fused", "split")
"""What can be wrong with the digits of a hand."""
MOST_DIGITS = 8
"""The digit-count head tells 0 to 7 digits apart; more are called 7."""

ARM, PALM, FIRST_SEGMENT, NAIL = 1, 2, 3, 6
"""Places of parts in `PARTS`."""
CROP_PX, CELL_PX = 128, 2
"""The parser looks at square crops of this side; its maps have one cell for 2 x 2 px."""
