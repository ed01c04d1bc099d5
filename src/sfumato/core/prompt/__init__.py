"""The prompt grammar: weights, editing over steps, LoRA tags, phrases.

Start reading at `grammar`.
"""
