"""Finds people, faces, hands and houses in pictures of the drawn world.

Start reading at `detector`.
"""
