"""Checks of a picture without a learned eye: seams, shifts, colour, added objects.

Start reading at `checks`.
"""
