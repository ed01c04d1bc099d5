"""Networks that steer a denoiser by a picture: opened, checked against their base, and asked.

Start reading at `control_file`.
"""
