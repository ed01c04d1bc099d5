"""The HTML page that lies beside a finished picture.

Start reading at `page`.
"""
