"""A camera that puts one picture after the other into a folder, as its schedule says.

``python -m wayside.cloud.demo.camera --folder corner --pictures windows.npz --csv schedule.csv --speed 600 --anchor
1780000000 --start 1386000000``: at each ``unix_s`` of the CSV the picture number ``picture`` of the array ``holdout_x``
(n, height, width, 3) appears as a PNG. It gets its name when it is complete.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from wayside.cloud.demo.scaled import Playback, options

LOOK_S = 0.01


def play(folder: Path, pictures: Path, playback: Playback) -> None:
    """Until the schedule is over. Pictures that are due at once all appear."""
    with np.load(pictures) as arrays:
        every = arrays["holdout_x"]
    done = 0
    while done < len(playback.rows):
        while done < playback.passed():
            pixels = every[int(playback.rows[done]["picture"])].astype(np.uint8)
            beside = folder / f"{done:06d}.part"
            Image.fromarray(pixels).save(beside, format="PNG")
            beside.rename(beside.with_suffix(".png"))
            done += 1
        time.sleep(LOOK_S)


def main() -> None:
    chosen, playback = options("A camera that puts pictures into a folder.", "--folder", "--pictures")
    play(Path(chosen.folder), Path(chosen.pictures), playback)
    while True:  # its node may look until it is ended
        time.sleep(3600)


if __name__ == "__main__":
    main()
