"""Control: what a caller says of networks and pictures becomes part of a request, and the networks are opened for it.

Start reading at `units`.
"""
