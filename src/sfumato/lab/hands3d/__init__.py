"""What the laboratory does with 3-D hands: fetch the mesh, write samples, render a pool to train from.

Start reading at `pool.render_pool`.
"""
