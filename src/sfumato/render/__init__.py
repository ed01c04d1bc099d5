"""From a request to a picture: plan first, then run.

Knows a model only through its contract, and nothing of files, adapters or the command line.
Start reading at `plan.plan_render`, then `engine.run_plan`.
"""
