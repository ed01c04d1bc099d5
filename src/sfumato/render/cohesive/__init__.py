"""The cohesive method: the native picture grown level by level, held to the level below.

Start reading at `run`.
"""
