"""Repair hands that are wrong: what is drawn anew, who agrees to it, and what is written down.

Start reading at `run.repair_result`.
"""
