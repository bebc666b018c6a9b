import pytest

from canon.data import captions
from canon.data.words import BOS, EOS, PAD
from canon.errors import UserError


@pytest.mark.parametrize("source", sorted(captions.NAMES))
def test_every_class_is_spelt_from_its_beginning_to_its_end(source):
    written = captions.create(source)
    assert len(set(captions.NAMES[source])) == len(written.tokens) == 10
    for name, tokens, targets, mask in zip(
        captions.NAMES[source], written.tokens, written.targets, written.mask, strict=True
    ):
        assert tokens[0] == BOS
        assert "".join(written.characters[t] for t in tokens[1:] if t != PAD) == name
        assert targets.tolist()[: len(name) + 1] == [*tokens.tolist()[1 : len(name) + 1], EOS]
        assert mask.tolist() == [1.0] * (len(name) + 1) + [0.0] * (len(mask) - len(name) - 1)


def test_a_set_whose_classes_have_no_names_is_said():
    with pytest.raises(UserError, match=r"the classes of imagenet2012 have no names here.*cifar10, digits, mnist"):
        captions.create("imagenet2012")
