"""A folder such as somebody has somewhere: its name means something to every address, list, pattern and console."""

from __future__ import annotations

ODD = "file:a?b=c %20d#e,[/f]{g}*'\"\\$HOME\n~"
