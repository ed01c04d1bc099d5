"""One resumable training loop for every network of the project.

It gets batches and losses from a `Task` and knows neither where pictures come from nor what they
show. Start reading at `loop.run_training`, then `task.Task`.
"""
