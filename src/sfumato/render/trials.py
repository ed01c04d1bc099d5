"""How many cheap seeds say what is sure in a base, and how far each goes: for the plan and for who runs them.

Start reading at `TRIALS`.
"""

# Enough to see what is agreed on, and little beside one native picture.
SEEDS, STEPS = 3, 4
# Half the noise: above it the layout itself changes, below it nothing does.
STRENGTH = 0.5
# Calls of the denoiser; the sampler asks once a step.
TRIALS = SEEDS * STEPS
