"""Encoding and decoding of pictures of any size in bounded memory, equal to the whole.

Start reading at `coder`.
"""
