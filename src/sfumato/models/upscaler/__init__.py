"""Networks of the ESRGAN family, run tile by tile.

Start reading at `upscaler`.
"""
