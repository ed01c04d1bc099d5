"""The broad mix: everything people type first, named characters, plain prompts, and close-ups.

It chooses scenes and words; the drawing lies in the modules around. The mix `mini` and the judges trained on it
never pass here. Start reading at `compose.make_broad_scene`.
"""
