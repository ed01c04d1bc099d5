"""From prompts to conditioning: tokenizers, CLIP towers, embeddings of concepts.

Start reading at `encoder`.
"""
