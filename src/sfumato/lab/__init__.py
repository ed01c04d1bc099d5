"""Benches, proofs and the training of mini, its reader and its detector. Only the command line imports this package.

One room for each proof; start reading at its `run`.
"""
