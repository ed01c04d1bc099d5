"""What a prompt and a picture may not show where the owner says so, and what stands in the place of such a picture.

Start reading at `check.judge_picture`.
"""
