"""Loading, memory and speed on the real shapes of SD 1.x, 2.x and XL, with random weights.

Start reading at `run`.
"""
