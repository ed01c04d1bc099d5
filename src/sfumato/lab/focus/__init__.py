"""The proof of focus on mini's world: faces that the autoencoder smeared, drawn anew, held against the drawn truth.

Start reading at `run.run_evaluate_focus`.
"""
