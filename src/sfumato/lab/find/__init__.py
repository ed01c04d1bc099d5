"""How well `find` finds on real renders, against boxes that were read by eye.

Start reading at `run`.
"""
