"""Training and judging of the detector that counts people, faces, hands and houses.

Start reading at `train`.
"""
