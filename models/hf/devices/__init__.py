"""One model on several devices of a machine.

parallel   requests in shares, one worker process a device; what a dead worker had is asked again
workers    such a process, and its messages
"""
