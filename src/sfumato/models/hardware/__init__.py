"""Device, dtype and kernels: what this machine has and how a model runs on it.

Start reading at `policy`.
"""
