"""Training of `mini`, stage by stage, from drawn pictures to the packed folder.

Start reading at `run`.
"""
