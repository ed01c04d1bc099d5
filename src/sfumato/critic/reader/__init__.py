"""Names the attributes of a picture of the drawn world, with calibrated confidence.

Start reading at `reader`.
"""
