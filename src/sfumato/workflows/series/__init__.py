"""Many pictures of one wish: prompts with choices, styles by name, and grids over settings.

Start reading at `expand.expand_prompt`, then `axes.list_variants`.
"""
