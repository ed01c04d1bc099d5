"""Several methods on one prompt, with a sheet and a page.

Start reading at `compare`.
"""
