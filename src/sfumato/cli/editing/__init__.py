"""Options that say how a picture is changed.

Start reading at `options.EditOptions`.
"""
