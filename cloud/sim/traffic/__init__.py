"""Signals at work in SUMO: nets, the configuration of an intersection, the plant and those it is compared with."""
