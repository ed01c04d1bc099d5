"""The proof of large pictures: methods side by side on the same prompts and seeds.

Start reading at `run`.
"""
