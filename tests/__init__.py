"""The tests, each beside the name of what it tests; `scenarios` are of the whole command.

A property may take its time: how fast a machine is at the moment says nothing about what is right.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
