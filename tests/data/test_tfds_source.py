import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_efficientbert.data.tfds_source import read_tfds
from tf_efficientbert.errors import UserError

_REVIEWS = [
    {
        "text": "naïve 是\u2028",
        "label": "good",
        "stars": 5,
        "topics": ["price"],
        "image": np.zeros((2, 2, 3), np.uint8),
        "sentences": {"start": [0]},
    },
    {
        "text": "dull",
        "label": -1,
        "stars": 2,
        "topics": [],
        "image": np.zeros((2, 2, 3), np.uint8),
        "sentences": {"start": [0, 9]},
    },
    {
        "text": "slow and dear",
        "label": "bad",
        "stars": 1,
        "topics": ["speed", "price"],
        "image": np.zeros((2, 2, 3), np.uint8),
        "sentences": {"start": []},
    },
]


class TinyReviews(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Three reviews with every kind of feature."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = {}  # it downloads nothing, so there is no checksum file beside the code

    def _info(self):
        topic = tfds.features.ClassLabel(names=["price", "speed"])
        features = {
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["bad", "good"]),
            "stars": np.int32,
            "topics": tfds.features.Sequence(topic),
            "image": tfds.features.Image(shape=(2, 2, 3)),
            "sentences": tfds.features.Sequence({"start": np.int64}),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples() for name in ("train", "validation", "extra")}

    def _generate_examples(self):
        yield from enumerate(_REVIEWS)


@pytest.fixture(scope="module")
def tiny_reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyReviews(data_dir=folder).download_and_prepare()
    return folder


def _write_metadata(folder, name: str, splits: dict[str, int]) -> None:
    """Writes the metadata from which mock_data takes the splits of a set."""
    builder = tfds.builder(name, data_dir=folder)
    template = tfds.core.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name=builder.name, filetype_suffix="tfrecord"
    )
    infos = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=[rows], num_bytes=0, filename_template=template
        )
        for split, rows in splits.items()
    ]
    builder.info.set_splits(tfds.core.SplitDict(infos))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)


def test_a_prepared_set_is_read_without_its_code(tiny_reviews):
    tables = read_tfds("tiny_reviews", tiny_reviews)
    assert list(tables) == ["train", "dev"]
    by_text = {row.values["text"]: row.values for row in tables["train"].rows}
    assert by_text == {
        review["text"]: {
            "text": review["text"],
            "label": None if review["label"] == -1 else review["label"],
            "stars": review["stars"],
            "topics": review["topics"],
        }
        for review in _REVIEWS
    }
    assert tables["dev"].path == "tfds:tiny_reviews/validation"
    assert [row.line for row in tables["dev"].rows] == [1, 2, 3]


def test_rows_come_in_the_same_order_each_time(tiny_reviews):
    assert read_tfds("tiny_reviews", tiny_reviews) == read_tfds("tiny_reviews", tiny_reviews)


def test_unsupported_features_are_named(tiny_reviews):
    notes = " ".join(read_tfds("tiny_reviews", tiny_reviews)["train"].notes)
    assert "left out, neither text, class nor number: image, sentences" in notes


def test_unused_splits_are_named(tiny_reviews):
    notes = " ".join(read_tfds("tiny_reviews", tiny_reviews)["train"].notes)
    assert "splits of the set that are not used: extra" in notes


def test_ag_news_has_texts_and_the_names_of_its_classes(tmp_path):
    _write_metadata(tmp_path, "ag_news_subset", {"train": 30, "test": 30})
    with tfds.testing.mock_data(num_examples=30, data_dir=str(tmp_path)):
        tables = read_tfds("ag_news_subset", tmp_path)
    assert list(tables) == ["train", "test"]
    assert set(tables["train"].columns) == {"description", "title", "label"}
    assert len(tables["train"].rows) == 30
    names = {row.values["label"] for row in tables["train"].rows}
    assert len(names) > 1 and names <= {"World", "Sports", "Business", "Sci/Tech"}
    assert all(type(row.values["description"]) is str for row in tables["test"].rows)


def test_a_glue_task_has_both_its_texts_and_its_index(tmp_path):
    _write_metadata(tmp_path, "glue/qnli", {"train": 8, "validation": 8, "test": 8})
    with tfds.testing.mock_data(num_examples=8, data_dir=str(tmp_path)):
        tables = read_tfds("glue/qnli", tmp_path)
    assert list(tables) == ["train", "dev", "test"]
    values = tables["dev"].rows[0].values
    assert {name: type(value) for name, value in values.items()} == {
        "question": str,
        "sentence": str,
        "label": str,
        "idx": int,
    }
    assert {row.values["label"] for row in tables["dev"].rows} <= {"entailment", "not_entailment"}


@pytest.mark.parametrize("name", ["no_such_set", "glue/no_such_task", "not a name"])
def test_an_unknown_set_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"--tfds={name}: .*--tfds_dir={tmp_path}"):
        read_tfds(name, tmp_path)


def test_the_default_folder_is_the_library_s(tmp_path, monkeypatch):
    asked = []

    def builder(name, data_dir):
        asked.append(data_dir)
        raise ValueError("unknown")

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(UserError, match="none is prepared under the library's default folder"):
        read_tfds("ag_news_subset", "")
    assert asked == [None]


def test_the_error_for_a_failed_download_names_the_folder(tmp_path, monkeypatch):
    def fail(self):
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError) as error:
        read_tfds("ag_news_subset", tmp_path)
    assert str(error.value) == (
        f"--tfds=ag_news_subset: not prepared under --tfds_dir={tmp_path}, and downloading it "
        "failed: no route to host; connect to the network, or name the folder that has "
        "ag_news_subset/1.0.0 with --tfds_dir"
    )
