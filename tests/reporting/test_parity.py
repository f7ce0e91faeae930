from tf_efficientbert.reporting.parity import form_rows


def _row(forms, litert, name):
    head, *rows = form_rows(forms, litert)
    (row,) = (row for row in rows if row[0] == name)
    shown = dict(zip(head, row, strict=True))
    return {title: cell.replace("\N{NO-BREAK SPACE}", " ") for title, cell in shown.items()}


def test_a_form_is_shown_with_score_agreement_differences_size_and_latency():
    keras = {"max_difference": 0.0, "mean_difference": 0.0, "agreement": 1.0, "accuracy": 0.9}
    int8 = {**keras, "max_difference": 0.034, "agreement": 0.995, "accuracy": 0.891}
    int8["accuracy_standard_error"] = 0.012
    file = {"bytes": 5_610_000, "latency_ms": {"1": 1.024, "2": 0.7}}
    assert _row({"keras": keras, "litert_int8": int8}, {"int8": file}, "litert int8") == {
        "form": "litert int8",
        "accuracy": "89.1 ± 1.2 %",
        "agreement": "99.5 %",
        "largest difference": "3.4e-02",
        "mean difference": "0.0e+00",
        "file": "5.6 MB",
        "1 thread": "1.02 ms",
        "2 threads": "0.70 ms",
    }


def test_a_regression_has_no_agreement():
    figures = {"max_difference": 1e-6, "mean_difference": 1e-7, "pearson": 0.8, "spearman": 0.79}
    row = _row({"keras": figures, "saved_model_text": figures}, {}, "saved model text")
    assert row["pearson"] == "80.0 %" and row["agreement"] == row["file"] == "–"


def test_a_form_with_nan_has_no_figures():
    keras = {"max_difference": 0.0, "agreement": 1.0, "f1": 0.7}
    row = _row({"keras": keras, "saved_model_text": {"not_finite": 3}}, {}, "saved model text")
    assert set(row.values()) == {"saved model text", "–"}
