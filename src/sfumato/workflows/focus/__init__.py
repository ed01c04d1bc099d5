"""Focus: finders, prompts and judge come together, and small parts of a finished picture are drawn anew.

Start reading at `run.run_focus_pass`.
"""
