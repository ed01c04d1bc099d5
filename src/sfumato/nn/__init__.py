"""Tensors in, tensors out: schedules, samplers, guidance, noise, windows.

Knows no file, clock, setting, model or network. Start reading in `schedules` (what sigma means
here), then `samplers` (one step of a picture), then `windows` (many tiles as one canvas).
"""
