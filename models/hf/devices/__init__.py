"""One model on several devices of a machine: whole on each, or its layers shared out among them (`--shard`).

parallel   requests in shares, one worker process a device; what a dead worker had is asked again
workers    such a process, and its messages
placement  which layers go to which device, by the memory that is free there
layer_moves   what a layer is given, moved to the device that it is on
"""
