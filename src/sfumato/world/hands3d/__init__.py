"""Hands in photograph style from a 3-D model, with exact part masks, true joints and planted faults.

Start reading at `stream.make_hand_picture`; the label ids are in `labels`.
"""
