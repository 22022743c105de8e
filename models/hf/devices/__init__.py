"""One model on several devices of a machine.

parallel   the requests in shares, one process a device; what a dead process leaves is asked again
workers    such a process, and what it says
"""
