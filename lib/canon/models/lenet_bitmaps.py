"""The fixed patterns of LeNet-5's output layer: the digits of its stylised character set, 7×12 pixels each.

LeCun et al. 1998, figure 3, which the paper prints as a picture: this is the transcription that public
re-implementations share, the oldest of them known here mattwang44/LeNet-from-Scratch.
"""

import numpy as np

_DIGITS = """
.#####.  ...##..  .#####.  #######  .#####.
.......  ..###..  .......  .....##  .......
..###..  .####..  .#####.  ....##.  .......
.##.##.  ...##..  ##...##  ...##..  .##..##
##...##  ...##..  #....##  ..####.  .##..##
##...##  ...##..  ....##.  .....##  ###..##
##...##  ...##..  ..###..  .....##  ##...##
##...##  ...##..  .##....  .....##  ##...##
.##.##.  ...##..  ##.....  ##...##  ##..###
..###..  .######  #######  .#####.  .######
.......  .......  .......  .......  .....##
.......  .......  .......  .......  .....##

.#####.  ..####.  #######  .#####.  .#####.
.......  .##....  .....##  ##...##  ##..###
#######  ##.....  .....##  ##...##  ##...##
##.....  ##.....  ....##.  ##...##  ##...##
##.....  ######.  ...##..  .#####.  ##..###
.####..  ###..##  ...##..  ##...##  .######
..####.  ##...##  ..##...  ##...##  .....##
.....##  ##...##  ..##...  ##...##  .....##
##...##  ###..##  ..##...  ##...##  ....##.
.#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .......
.......  .......  .......  .......  .......
"""


def _read(drawing: str) -> np.ndarray:
    digits = []
    for row_of_digits in drawing.strip().split("\n\n"):
        lines = [line.split("  ") for line in row_of_digits.split("\n")]
        digits += [[list(line[i]) for line in lines] for i in range(len(lines[0]))]
    return np.where(np.array(digits) == "#", 1, -1).astype(np.int8)


BITMAPS = _read(_DIGITS)
"""`[10, 12, 7]`: +1 where the pixel is black, −1 elsewhere."""
