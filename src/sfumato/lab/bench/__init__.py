"""Benches of speed, memory and the forecast; each prints ratios measured in one run.

Start reading at `native`.
"""
