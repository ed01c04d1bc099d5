"""What a picture says about itself: the texts that we write, and those of other tools that we read.

Start reading at `write`.
"""
