"""What is trained beside or inside a UNet: a LoRA, rotations, or its own weights; and checkpoints of its activations.

Start reading at `lora`.
"""
