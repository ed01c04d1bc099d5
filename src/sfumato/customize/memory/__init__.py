"""How much memory it takes to teach a base a concept, before anything is loaded; and the settings that fit a budget.

Start reading at `plan`.
"""
