"""The wire's configuration and that of `models` say the same; neither may import the other."""

from api_schemas.pipelines import STAGES, PipelineConfig, PredictConfig, SelectConfig
from domain.pipelines import AVAILABLE_STAGES
from models import config
from workers.context import label_config


def test_stages_agree() -> None:
    assert STAGES == config.STAGES
    assert AVAILABLE_STAGES == config.AVAILABLE_STAGES


def test_every_default_arrives() -> None:
    assert label_config(PipelineConfig()) == config.PipelineConfig(
        predict=config.PredictConfig(), select=config.SelectConfig()
    )


def test_every_value_arrives() -> None:
    wire = PipelineConfig(
        predict=PredictConfig(flip=True, scales=(0.5, 2.0), window_px=256, overlap=0.5),
        select=SelectConfig(mode="global", keep_fraction=0.4, scope="image"),
        keep_stages=True,
    )
    assert label_config(wire) == config.PipelineConfig(
        predict=config.PredictConfig(flip=True, scales=(0.5, 2.0), window_px=256, overlap=0.5),
        select=config.SelectConfig(mode="global", keep_fraction=0.4, scope="image"),
        keep_stages=True,
    )
