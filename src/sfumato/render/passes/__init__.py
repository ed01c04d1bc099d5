"""What happens to a picture after it is drawn and before it is saved.

Start reading at `run.run_pass`.
"""
