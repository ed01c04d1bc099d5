"""The proof of the self-check: planted faults it must find, judged renders it must agree with.

Start reading at `run`.
"""
