"""Training and judging of the critic of hands.

Start reading at `train`.
"""
