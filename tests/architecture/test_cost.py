import json
from dataclasses import replace
from pathlib import Path

import pytest

from tf_efficientbert.architecture import Architecture, CellSpec

FIXTURES = Path(__file__).parent.parent / "fixtures"
COUNTS = json.loads((FIXTURES / "parameter_counts.json").read_text())["counts"]
BERT_BASE = Architecture(
    hidden_size=768,
    ffn_width=3072,
    num_heads=12,
    embedding_size=768,
    embedding="bert",
    channel_mismatch="slice",
    cells=(CellSpec.ordinary(),) * 12,
)
POOLER = 768 * 768 + 768


def test_there_are_120_reference_counts():
    assert len(COUNTS) == 120


@pytest.mark.parametrize("hidden_size", [540, 360])
@pytest.mark.parametrize("case", COUNTS, ids=lambda case: str(case["stack_and_ratio"]))
def test_parameters_are_the_reference_s(case, hidden_size):
    architecture = Architecture.from_formulas(
        [f"linear{s}_{r}(gelu(linear{s}_{r}(x,wb1)),wb2)" for s, r in case["stack_and_ratio"]],
        hidden_size=hidden_size,
        ffn_width=hidden_size,
    )
    # The reference adds up table entries that are each rounded to 1e-4 M.
    expected = case[f"params_millions_hidden{hidden_size}"]
    assert architecture.count_parameters() / 1e6 == pytest.approx(expected, rel=0, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "millions", "digits", "giga_macs"),
    [
        ("efficientbert_tiny", 9.375, 3, 0.71),
        ("efficientbert", 15.738, 3, 1.53),
        ("efficientbert_plus", 15.738, 3, 1.53),
        ("efficientbert_plus_plus", 15.97, 2, 1.62),
        ("efficient_tinybert", 70.12, 2, 5.99),
    ],
)
def test_presets_cost_what_is_published(name, millions, digits, giga_macs):
    architecture = Architecture.from_preset(name)
    assert round(architecture.count_parameters() / 1e6, digits) == millions
    assert round(architecture.count_macs() / 1e9, 2) == giga_macs


def test_plus_plus_with_an_ffn_width_of_360_is_the_14_24_million_of_the_authors_class():
    narrow = replace(Architecture.from_preset("efficientbert_plus_plus"), ffn_width=360)
    assert round(narrow.count_parameters() / 1e6, 2) == 14.24


def test_bert_base_costs_what_is_published():
    # 109.5 M includes the pooler, which belongs to the task head and is not counted here.
    assert BERT_BASE.count_parameters(fit_size=None) == 108_891_648
    assert BERT_BASE.count_parameters(fit_size=None) + POOLER == 109_482_240
    # The multiply-adds leave the pooler out.
    assert round(BERT_BASE.count_macs() / 1e9, 2) == 11.17


def test_a_small_network_costs_what_is_counted_by_hand():
    architecture = Architecture.from_formulas(
        ["linear2_2(gelu(mul(linear2_2(x,wb1),x)),wb2)"],
        hidden_size=6,
        ffn_width=5,
        num_heads=2,
        embedding_size=3,
    )
    embedding = 11 * 3 + 2 * 6 + 7 * 6 + (9 * 6 + 6) + 12
    attention = 4 * (6 * 6 + 6) + 12
    ffn = (6 * 2 + 2) + (2 * 6 + 6) + 12
    counted = architecture.count_parameters(fit_size=None, vocabulary_size=11, max_positions=7)
    assert counted == embedding + attention + 2 * ffn
    # 4 tokens; q.k and p.v are 4 x 4 x 6 each, and the formula's mul is not a MAC.
    macs = 4 * 9 * 6 + 4 * 4 * 6 * 6 + 2 * 4 * 4 * 6 + 2 * 4 * (6 * 2 + 2 * 6)
    assert architecture.count_macs(sequence_length=4) == macs


def test_a_bert_embedding_has_no_dense_layer():
    bert = Architecture.from_formulas([str(CellSpec.ordinary())], embedding="bert")
    trigram = replace(bert, embedding="trigram")
    assert trigram.embedding_size == bert.embedding_size == 540
    assert trigram.count_parameters() - bert.count_parameters() == 3 * 540 * 540 + 540
    assert trigram.count_macs(10) - bert.count_macs(10) == 10 * 3 * 540 * 540


def test_the_fit_projection_is_counted_only_where_asked_for():
    architecture = Architecture.from_preset("efficientbert")
    without = architecture.count_parameters(fit_size=None)
    assert architecture.count_parameters(fit_size=0) == without
    assert architecture.count_parameters() == without + 540 * 768 + 768
    assert architecture.count_parameters(fit_size=512) == without + 540 * 512 + 512
