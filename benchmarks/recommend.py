"""How often does `weldcache recommend`, which looks at nothing of test, pick what ties with the best detector on test?

For every store, and every split of it that is named: the recommendation is made; then every candidate is fitted to the
same rows and judged on test, which the recommendation did not see. A pick ties with the best if Holm's correction over
all candidates leaves the paired difference at 0.05 or more. Beside it stands what drawing a candidate by chance, and
what the best by validation's defects would have reached.
"""

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from harness import describe_machine, print_json

from weldcache.cache.store import FeatureStore
from weldcache.evaluate.tasks.anomaly.measure import AnomalyMeasure
from weldcache.evaluate.trials.comparison import behind_best
from weldcache.evaluate.trials.recommend import recommend
from weldcache.settings import Settings, load_settings
from weldcache.train.data.features import shapes_for
from weldcache.train.data.resident import FeaturePool
from weldcache.train.data.samples import choose_samples
from weldcache.train.fit import fit
from weldcache.train.recipes.recipe import Fitted, make_recipe
from weldcache.train.scoring import score_rows
from weldcache.train.tasks import LOSS, make_task

TARGETS = {"ties_with_the_best": 0.8}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+", help="Feature stores with labels of test.")
    parser.add_argument("--splits", default="official", help="Names of splits that each of them has, by commas.")
    arguments = parser.parse_args()
    print(describe_machine())
    found = [told(path, split) for path in arguments.stores for split in arguments.splits.split(",")]
    shares = {name: statistics.mean(each[name] for each in found) for name in found[0]}
    print_json("recommend", ratios={**shares, "data_sets": len(found)}, targets=TARGETS)


def told(path: Path, split: str) -> Mapping[str, float]:
    """Of one store by one of its splits, in a line and as figures."""
    settings = load_settings(overrides=[f"cache.path={path}", f"train.split={split}", "train.device=cpu"])
    blind, declared = recommend(settings), recommend(settings, validation_defects=True)
    store, measure = FeatureStore.open(path, split=split), AnomalyMeasure()
    tested = np.flatnonzero((store.index.parts == "test") & (store.index.labels >= 0))
    truth, groups = measure.truth(store.index.select(tested)), store.index.groups[tested].tolist()
    answers = {each.name: {0: test_scores(each.settings, store, tested)} for each in blind.ranking}
    reached = {name: measure.value(each[0], truth) for name, each in answers.items()}
    order = sorted(reached, key=lambda name: -reached[name])
    behind = behind_best(order, answers, measure, truth=truth, groups=groups)
    ties = {name: name not in behind or behind[name].is_tie for name in order}
    best, pick = reached[order[0]], blind.chosen.name
    print(
        f"{path.parent.name}, {split}: picked {pick} (of {len(order)}; {blind.sentences()[0].partition('.')[0]}), test "
        f"AUROC {reached[pick]:.3f}, best {order[0]} {best:.3f}, {'tie' if ties[pick] else 'no tie'}; by validation's "
        f"defects {declared.chosen.name} {reached[declared.chosen.name]:.3f}"
    )
    return {
        "ties_with_the_best": float(ties[pick]),
        "behind_the_best": best - reached[pick],
        "chance_ties_with_the_best": statistics.mean(ties.values()),
        "chance_behind_the_best": best - statistics.mean(reached.values()),
        "declared_ties_with_the_best": float(ties[declared.chosen.name]),
        "declared_behind_the_best": best - reached[declared.chosen.name],
    }


def test_scores(settings: Settings, store: FeatureStore, rows: np.ndarray) -> np.ndarray:
    """Scores of these rows by the candidate, fitted as `weldcache train` fits it."""
    recipe = make_recipe(settings.recipe)
    assert isinstance(recipe, Fitted)
    samples = choose_samples(store, recipe, task=make_task(settings.train), monitor=LOSS)
    pool = FeaturePool(store, np.union1d(samples.train, rows), device=torch.device("cpu"))
    model = recipe.build(shapes_for(store, recipe))
    fit(recipe, model, pool.source(samples.train, recipe.needs()), seed=settings.train.seed, title="fit", noun="row")
    source = pool.source(rows, recipe.needs())
    scores = score_rows(recipe, {"": model.eval()}, source, batch_size=settings.train.batch_size, precision="float32")
    return scores[""].astype(np.float64)


if __name__ == "__main__":
    main()
