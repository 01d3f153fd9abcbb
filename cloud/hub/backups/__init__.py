"""Backup, restore, and what a restored hub does until it is sure."""
