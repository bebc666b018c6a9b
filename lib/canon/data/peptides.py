"""Peptides and how well a protein of the immune system binds them: measured, or made by a motif.

What a measurement says is the concentration, in nanomolar, at which half of the protein is bound (IC50): the smaller,
the better. Learned is 1 − log(IC50) / log(50,000), cut to 0 to 1: Nielsen et al. 2003, "Reliable prediction of T-cell
epitopes using neural networks with novel sequence representations". Binding is said to begin at 500 nM, at 0.426.
"""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canon import files
from canon.errors import UserError, did_you_mean

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
"""By their letters; an amino acid's number is its place."""

MOTIF = "motif"
"""The name of peptides that are made, in the config's `data.source`."""

FILE = "affinities"
"""The name of those in a file."""

SPLITS = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}
"""Which share of all peptides, in an order that chance decides once, each of them is."""

MOST_NANOMOLAR = 50_000.0
BINDS_BELOW = 500.0


def affinity(nanomolar: np.ndarray) -> np.ndarray:
    """1 − log(IC50) / log(50,000), cut to 0 to 1; any shape."""
    return np.clip(1 - np.log(np.maximum(nanomolar, 1e-9)) / math.log(MOST_NANOMOLAR), 0, 1)


BINDS_ABOVE = float(affinity(np.array(BINDS_BELOW)))


@dataclass(frozen=True, eq=False)
class Peptides:
    """Peptides of one length or of several, with what is known of each.

    Attributes:
      residues: `[size, longest]` int32, each the place in `AMINO_ACIDS`; 0 past a peptide's end.
      lengths: `[size]` int32.
      affinities: `[size]` float32, 0 to 1.
    """

    residues: np.ndarray
    lengths: np.ndarray
    affinities: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: np.ndarray) -> "Peptides":
        return Peptides(self.residues[index], self.lengths[index], self.affinities[index])

    @property
    def checksum(self) -> int:
        """By which other peptides are told."""
        return zlib.crc32(self.affinities.tobytes(), zlib.crc32(self.residues.tobytes()))


def encode(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Residues `[size, longest]` and lengths `[size]` of peptides in letters."""
    places = {letter: place for place, letter in enumerate(AMINO_ACIDS)}
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    residues = np.zeros((len(sequences), lengths.max()), np.int32)
    for row, sequence in zip(residues, sequences, strict=True):
        row[: len(sequence)] = [places[letter] for letter in sequence]
    return residues, lengths


def split_of(peptides: Peptides, split: str) -> Peptides:
    """A split, one of `SPLITS`: the same peptides every time. Raises `UserError` where there is none of that name."""
    if split not in SPLITS:
        raise UserError(f"peptides have the splits {', '.join(SPLITS)}, not {split!r}")
    order = np.random.default_rng(0).permutation(len(peptides))
    first, last = (round(share * len(peptides)) for share in SPLITS[split])
    return peptides[order[first:last]]


MOST = 100_000
"""Of peptides that are made."""


def make(number: int) -> Peptides:
    """So many random peptides of 8 to 11 residues, which bind as a motif with two anchors has it.

    Each amino acid has a weight at the second place and another at the last, as in the motifs of human class I proteins
    (Falk et al. 1991), and weights a quarter as large at the other places. The anchors know of each other: the product
    of their weights is added, so that one counts for more where the other fits. There is noise.

    Raises:
      UserError: fewer than 10 are wanted, or more than `MOST`.
    """
    if not 10 <= number <= MOST:
        raise UserError(f"data.examples of peptides that are made must be from 10 to {MOST:,}, not {number:,}")
    random = np.random.default_rng(7)
    second, last = random.normal(size=(2, len(AMINO_ACIDS)))
    others = random.normal(scale=0.25, size=(11, len(AMINO_ACIDS)))
    lengths = random.integers(8, 11, number, endpoint=True).astype(np.int32)
    residues = random.integers(0, len(AMINO_ACIDS), (number, 11)).astype(np.int32)
    inside = np.arange(11) < lengths[:, None]
    residues = np.where(inside, residues, 0).astype(np.int32)
    total = (others[np.arange(11), residues] * inside).sum(axis=1)
    anchors = second[residues[:, 1]], last[residues[np.arange(number), lengths - 1]]
    total += anchors[0] + anchors[1] + anchors[0] * anchors[1]
    total += random.normal(scale=0.3, size=number)
    return Peptides(residues, lengths, (1 / (1 + np.exp(-(total - 0.5)))).astype(np.float32))


def read(path: Path, protein: str) -> Peptides:
    """The peptides of one protein in a table with the columns `mhc`, `sequence` and `meas` (nM), as IEDB's benchmarks.

    What is measured twice counts once, by the geometric mean. A column `inequality` may say that a measurement is a
    bound; it is taken for the value itself.

    Raises:
      UserError: the table cannot be read, lacks a column, has a line that is wrong, or knows no such protein.
    """
    lines = files.read_lines(path, "--config.data.text names the table")
    header = lines[0].split("\t")
    if missing := {"mhc", "sequence", "meas"} - set(header):
        raise UserError(
            f"{path} lacks the column {min(missing)}: its first line, with tabs between columns, names "
            f"{', '.join(header)}"
        )
    measured: dict[str, dict[str, list[float]]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise UserError(f"{path} has {len(cells)} cells in line {number}, and {len(header)} in its first")
        row = dict(zip(header, cells, strict=True))
        sequence, nanomolar = row["sequence"].upper(), _number(row["meas"])
        if not sequence or set(sequence) - set(AMINO_ACIDS):
            raise UserError(f"{path}: the sequence {row['sequence']!r} in line {number} is not of the 20 amino acids")
        if not nanomolar > 0:
            raise UserError(f"{path}: the measurement {row['meas']!r} in line {number} is not a number above 0")
        measured.setdefault(row["mhc"], {}).setdefault(sequence, []).append(nanomolar)
    if not measured:
        raise UserError(f"{path} has no measurements after its first line")
    if protein not in measured:
        most = sorted(measured, key=lambda name: -len(measured[name]))[:5]
        raise UserError(
            f"{path} has no measurement of {protein!r}{did_you_mean(protein, measured)} "
            f"(most it has of {', '.join(most)})"
        )
    of_protein = dict(sorted(measured[protein].items()))
    residues, lengths = encode(list(of_protein))
    means = np.array([math.exp(np.mean(np.log(values))) for values in of_protein.values()])
    return Peptides(residues, lengths, affinity(means).astype(np.float32))


def _number(text: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # which Python would take
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
