"""A folder of concepts of its own for every test, and one loaded tiny mini for all of them."""

from concept_folders import concept, concepts, model, photos

__all__ = ["concept", "concepts", "model", "photos"]
