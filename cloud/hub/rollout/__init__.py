"""Rollouts: which version which node is to run, in phases."""
