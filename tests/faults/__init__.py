"""Stores and workers are killed, stopped, flushed and cut off under load; a checker judges what callers were told.

`make faults ARGS="--seconds 60 --schedules 5"`.
"""
