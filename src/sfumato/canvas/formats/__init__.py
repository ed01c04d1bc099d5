"""Picture files written and read in bands: PNG, TIFF, DeepZoom, and the formats of Pillow.

Start reading at `save`.
"""
