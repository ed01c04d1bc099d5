"""How many cheap seeds say what is sure in a base, how far each goes, and how a given picture is looked at.

For the plan and for who runs them.

Start reading at `TRIALS`.
"""

# Enough to see what is agreed on, and little beside one native picture.
SEEDS, STEPS = 3, 4
# Half the noise: above it the layout itself changes, below it nothing does.
STRENGTH = 0.5
# How noisy a given picture is when it is looked at for the words of a prompt: the middle, where layout is decided.
LOOK_STRENGTHS = (0.3, 0.5, 0.7)
# Calls of the denoiser; the sampler asks once a step.
TRIALS = SEEDS * STEPS
