"""The plan of a request, with seconds from one calibration of this machine.

Start reading at `plan_request.make_plan`.
"""
