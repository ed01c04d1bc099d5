"""Parts of a request that are values of their own.

Start reading at `edit.CropBox` or `arithmetic.Arithmetic`.
"""
