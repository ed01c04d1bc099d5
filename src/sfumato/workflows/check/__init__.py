"""Check the hands of a picture: find them, judge them, draw the verdicts.

Start reading at `check`.
"""
