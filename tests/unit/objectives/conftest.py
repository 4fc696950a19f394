"""Tiny models in the formats of Detoxify and ToxBlock, for tests of the registry and scorers."""

import numpy as np
import pytest
from spelled_tox_block import WORDS, write_tox_block


@pytest.fixture(scope="session")
def tiny_detoxify(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A random BERT of 12 positions over single letters, in Detoxify's checkpoint format."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("detoxify")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        num_labels=3,
        initializer_range=1.0,  # so that texts differ in their scores
    )
    config.save_pretrained(folder)
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    args = {
        "model_type": str(folder),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": 3,
    }
    dataset = {"args": {"classes": ["toxic", "severe_toxic", "insult"]}}
    weights = model.state_dict()
    weights["bert.embeddings.position_ids"] = torch.arange(12)[None]  # as in older checkpoints
    torch.save(
        {"config": {"arch": {"args": args}, "dataset": dataset}, "state_dict": weights},
        folder / "tiny.ckpt",
    )
    return {"checkpoint": str(folder / "tiny.ckpt"), "config_path": str(folder)}


@pytest.fixture(scope="session")
def tiny_tox_block(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A random model of ToxBlock's architecture over `WORDS` and 12 positions, in its formats."""
    folder = tmp_path_factory.mktemp("tox_block")
    rng = np.random.default_rng(0)
    lstm = [(3, 8), (2, 8), (8,)]
    shapes = [(len(WORDS) + 1, 3), *lstm, *lstm, (4, 5), (5,), (5, 6), (6,)]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return write_tox_block(folder, arrays, WORDS, positions=12)
