"""The model card: figures that are known are shown, the others are a dash, and nothing of the template stays."""

from collections.abc import Callable
from pathlib import Path

from photoqual.config import Params
from photoqual.models.info import ModelInfo
from photoqual.registry.card import TEMPLATE, model_card

INFO = ModelInfo(
    kind="logistic",
    head="binary",
    image_width=48,
    threshold=0.5,
    sure_margin=None,
    parameters=4,
    train_photos=10,
    validation_photos=5,
    best_epoch=2,
    validation_auc=0.75,
    seed=7,
    good_ranges={},
)
LINEAGE = {name: f"{name} 0123456789" for name in ("git_rev", "data_rev", "frozen_test_digest", "model_digest")}


def test_what_nobody_knows_is_a_dash(project_root: Path, make_params: Callable[..., Params]) -> None:
    figures = {"photos": 60, "auc": 0.8125, "gallery_reduction": 0.4321, "spearman": 0.5}
    card = model_card(project_root, make_params(), INFO, figures, LINEAGE)
    assert "$" not in card
    assert "60 photos. AUC **0.812** (95% interval – to –)" in card
    assert "| Gallery left out while 95% of the good photos stay | 43% (– to –) |" in card
    assert "| Hours saved per 1,000 photos at 2 s each | – |" in card
    assert "| Spearman / Pearson with vote means | 0.500 (– to –) / – (– to –) |" in card


def test_a_template_may_name_anything(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    (tmp_path / TEMPLATE).parent.mkdir()
    (tmp_path / TEMPLATE).write_text("$auc ${nobody_knows} costs $$5, or $ 5")
    assert model_card(tmp_path, make_params(), INFO, {"auc": 0.5}, LINEAGE) == "0.500 – costs $5, or $ 5"
