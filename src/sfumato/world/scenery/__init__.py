"""Skies by day, at sunset and at night, and the landscapes that the broad mix adds to the world.

It knows ink and palette; no things and no people. Start reading at `stage.SceneryStage`.
"""
