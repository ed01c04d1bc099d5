"""The gate for model files: headers, configurations, layouts, the sandboxed converter.

Start reading at `gate`.
"""
