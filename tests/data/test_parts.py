"""Which examples of a TFDS set each part has, and the sentence where a part cannot be cut."""

import pytest

from xinit.core.errors import InputError
from xinit.data.parts import Span, cut

SHARDS = {"train": [40, 20], "validation": [10], "test": [15], "empty": []}


def test_numbers_and_slices_may_be_mixed():
    parts = cut("mnist", SHARDS, train=None, valid=12, test="validation")
    assert parts == ((Span("train", 0, 48),), (Span("train", 48, 60),), (Span("validation", 0, 10),))
    assert parts.sizes == (48, 12, 10)
    assert cut("mnist", SHARDS, train=None, valid="validation", test=None).sizes == (60, 10, 15)
    assert cut("mnist", SHARDS, train="train[:20]", valid=12, test=3).sizes == (20, 12, 3)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"train": "train[:50]"}, "train and valid share the examples 48 to 49 of train"),
        ({"train": 49}, "train and valid share the examples 48 to 48 of train"),
        ({"valid": "train[90%:]"}, "train and valid share the examples 54 to 59 of train"),
        ({"test": "train[-3:]"}, "valid and test share the examples 57 to 59 of train"),
        ({"train": "validation+train[10:20]", "test": "validation[9:]"}, "train and test share the examples 9 to 9"),
        ({"test": "tset"}, "test names no examples of this set"),
        ({"test": "test[:20%"}, "test names no examples of this set"),
        ({"test": "test[:16]"}, "test names no examples of this set"),
        ({"test": "all[:3]"}, "test names no examples of this set"),
        ({"test": "test[5:3]"}, "test has no examples"),
        ({"test": "empty"}, "test has no examples"),
        ({"test": "test[:0%]"}, "test has no examples"),
        ({"test": 16}, "test asks for more examples than there are in test"),
        ({"valid": 61, "train": 1}, "valid asks for more examples than there are in train"),
        ({"valid": 60}, "train has no examples"),
    ],
)
def test_what_cannot_be_cut_is_said(asked, words):
    with pytest.raises(InputError) as raised:
        cut("mnist", SHARDS, **({"train": None, "valid": 12, "test": None} | asked))
    message = str(raised.value)
    assert "mnist, which has 60 examples in train and 10 examples in validation and 15 examples in test" in message
    assert f": {words}" in message
    assert message.endswith("data.train=train[:80%] data.valid=train[80%:90%] data.test=train[90%:].")
