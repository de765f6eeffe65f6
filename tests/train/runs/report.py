"""The figures of an evaluation, as a run's report tells them."""

REPORT = {
    "auroc": {"value": 0.7, "low": 0.6, "high": 0.8},
    "ap": 0.9,
    "fpr_at_95_tpr": 0.5,
    "num_normal": 5,
    "num_defect": 6,
}
