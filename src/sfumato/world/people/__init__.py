"""Drawn people with exact truth: bodies, faces, hands, and planted faults.

Start reading at `draw_person`.
"""
