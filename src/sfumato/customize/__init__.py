"""Teach a model a subject from a few pictures, and know what that costs the model.

A concept is a folder of pictures and words; what a base learned of it is rebuilt for each base. Reads and writes concept
folders, trains vectors and LoRAs; knows no render, no critic and no world. Start reading at `concept`, then `learn`.
"""
