"""Training of the reader that names what a picture shows.

Start reading at `train`.
"""
