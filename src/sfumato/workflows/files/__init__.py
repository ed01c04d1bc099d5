"""Files around a render: inputs, output paths, digests, stopped work.

Start reading at `output_paths`.
"""
