"""From a request to a plan: stages, memory, disk and seconds. Runs nothing.

Start reading at `make_plan`.
"""
