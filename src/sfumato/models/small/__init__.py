"""The networks of `mini` as classes of our own, so that its pictures do not wait for large libraries.

They have diffusers' and transformers' names of weights and give the same bits. Start reading at `unet`; `build`
decides which checkpoints they serve.
"""
