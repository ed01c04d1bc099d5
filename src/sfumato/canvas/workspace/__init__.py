"""The folder of a render in progress: journal, lock, resumable stores.

Start reading at `workspace`.
"""
