"""Windows of the last level drawn again where the self-check found a fault.

Start reading at `run`.
"""
