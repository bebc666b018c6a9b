import jax
import numpy as np
import pytest

from canon import models
from canon.errors import UserError


@pytest.mark.parametrize("per_position", [False, True])
def test_an_amino_acid_has_a_vector_of_its_own_at_each_place_or_one_everywhere(per_position):
    model = models.create("peptide_classifier", positions=11, embedding=3, features=4, per_position=per_position)
    peptides = np.zeros((1, 2), np.int32)
    params = model.init(jax.random.key(0), peptides)["params"]
    table = params["embedding"]["embedding"]
    assert table.shape == (20 * 11 if per_position else 20, 3)
    # Amino acid 7 at the third place.
    changed = np.asarray(table).copy()
    changed[7 + (40 if per_position else 0)] += 1
    probes = np.array([[0, 0, 7], [7, 0, 0], [0, 0, 0]], np.int32)
    before = model.apply({"params": params}, probes)
    after = model.apply({"params": {**params, "embedding": {"embedding": changed}}}, probes)
    moved = np.abs(after - before).max(axis=1) > 1e-6
    assert moved.tolist() == [True, not per_position, False]


def test_what_stands_past_a_peptides_end_changes_nothing(random):
    model = models.create("peptide_classifier", features=4)
    peptides, lengths = random.integers(0, 20, (2, 9)).astype(np.int32), np.array([9, 8])
    variables = model.init(jax.random.key(0), peptides)
    logits = model.apply(variables, peptides, lengths)
    assert logits.shape == (2, 1)
    changed = peptides.copy()
    changed[1, 8] = (changed[1, 8] + 1) % 20
    np.testing.assert_array_equal(logits, model.apply(variables, changed, lengths))
    np.testing.assert_allclose(logits[1:], model.apply(variables, peptides[1:, :8]), rtol=1e-5, atol=1e-6)


def test_peptides_longer_than_the_places_are_refused():
    model = models.create("peptide_classifier", positions=8)
    with pytest.raises(UserError, match="peptides of 9 amino acids need --config.model.positions=9, not 8"):
        model.init(jax.random.key(0), np.zeros((1, 9), np.int32))
