"""What all methods share: sampler steps, prompt schedule, window grids, latents in bands, previews.

Start reading at `run_steps`.
"""
