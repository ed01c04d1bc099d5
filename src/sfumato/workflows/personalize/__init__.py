"""Concepts joined with renders: which ones a request names, their training, their scores and their card.

Start reading at `resolve`, then `teach`.
"""
