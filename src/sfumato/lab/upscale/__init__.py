"""Real pictures halved and doubled again, the product beside Lanczos.

Start reading at `run`.
"""
