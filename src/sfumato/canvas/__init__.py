"""Pictures and latents beyond memory: a canvas on disk, and files written and read in pieces.

Knows arrays, boxes and files; no torch, no model. Latents live in a store (`latents`); pixels leave
in bands from top to bottom (`saving` picks the writer by suffix) and come back by boxes (`regions`).
"""
