"""Small parts of a level drawn at two to four times its scale while it is sampled.

Start reading at `windows.FocusWindows`; `place` says where they lie, `records` what a workspace keeps of them.
"""
