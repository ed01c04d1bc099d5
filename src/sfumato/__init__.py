"""Sfumato: any-size pictures, right hands and safe learning for Stable Diffusion checkpoints."""

__version__ = "0.1.0"
