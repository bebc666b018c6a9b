from importlib import resources

from canon import imagenet


def test_there_are_a_thousand_classes_each_with_a_name_of_its_own():
    names = imagenet.class_names()
    assert len(names) == len(set(names)) == 1000
    assert all(name == name.strip() and name for name in names)


def test_classes_are_in_the_order_of_their_wordnet_identifiers():
    lines = resources.files("canon").joinpath("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    identifiers = [line.split(" ")[0] for line in lines]
    assert identifiers == sorted(set(identifiers))
    assert all(len(i) == 9 and i[0] == "n" and i[1:].isdigit() for i in identifiers)


def test_classes_stand_where_papers_and_checkpoints_have_them():
    names = imagenet.class_names()
    assert (names[0], names[1], names[-1]) == ("tench", "goldfish", "toilet tissue")
    for index, name in {
        207: "golden retriever",
        281: "tabby",
        388: "giant panda",
        817: "sports car",
        954: "banana",
    }.items():
        assert name in names[index]
