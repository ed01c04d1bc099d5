"""The self-check of a finished picture, and the redraw of what fails it.

Start reading at `judge`.
"""
