"""A picture changed: its mask softened or filled, its sides grown, or one box of it drawn alone.

Start reading at `sources.make_source`.
"""
