"""Test subjects for customization: people of the drawn world whom mini never saw.

Start reading at `character`.
"""
