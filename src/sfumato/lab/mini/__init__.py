"""The card of `mini`: what it draws of what captions ask for.

Start reading at `run`.
"""
