"""Values and words that every other package speaks; numpy and Pillow only.

Knows no tensor library, model, clock or network. Start reading in `geometry`
(the two spaces), then `request` (everything that changes pixels).
"""
