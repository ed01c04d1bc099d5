"""A picture enlarged without a diffusion model: the request, the work, the judgement.

Start reading at `enlarge`.
"""
