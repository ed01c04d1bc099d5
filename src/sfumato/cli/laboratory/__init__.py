"""The commands of the laboratory: benches, proofs and the training of mini.

Start reading at `training`.
"""
