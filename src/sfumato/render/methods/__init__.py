"""The methods that draw a picture in one stage or in slices.

Start reading at `registry`.
"""
