"""Reads pictures: what is in them, and how sure that is. Never renders.

Knows no world, no training loop and no model of pictures; words come in as a `Vocabulary`.
Start reading at `reader.Reader`.
"""
