"""Find things in a picture with every finder that fits it.

Start reading at `find`.
"""
