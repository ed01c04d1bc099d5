"""The only place where features meet: each workflow is one thing a person asks for, start to end.

Start reading at `generate.generate`.
"""
