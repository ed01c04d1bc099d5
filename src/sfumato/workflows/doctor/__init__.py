"""What this machine is, and what would be used on it.

Start reading at `doctor`.
"""
