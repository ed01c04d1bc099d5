"""The world: procedurally drawn people, hands, things and places with exact ground truth.

It knows nothing of models, training or files. Start reading at `stream.make_sample`.
"""
