"""The interface of AUTOMATIC1111, `/sdapi/v1`, that most plug-ins speak.

Start reading at `bodies` (what clients send), then `drawing` (txt2img, img2img) and `listing` (everything they ask).
"""
