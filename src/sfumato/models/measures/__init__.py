"""Numbers about pictures from networks of others: who a face is, what a picture shows, how different two look.

Each module runs one part in plain torch. Start reading at `perceptual`.
"""
