"""Things that the broad mix adds to the world: animals, vehicles, furniture, flowers.

Each module draws with a `Pen` and knows no scenes. Start reading at `pen.Pen`.
"""
