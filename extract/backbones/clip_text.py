"""CLIP's text tower: one vector for a text, in the space that CLIP shares between texts and pictures.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from ...errors import BackboneError
from .checkpoint import Checkpoint
from .pretrained import LazyModel, Models, load_config, quiet_transformers, whole
from .spec import BackboneSpec


class TextEncoder:
    """CLIP's frozen text tower: `dim` numbers for a text."""

    def __init__(
        self,
        model: LazyModel[CLIPTextModelWithProjection],
        *,
        dim: int,
        max_tokens: int,
        tokenizer: CLIPTokenizer,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.dim = dim
        self._max_tokens = max_tokens
        self._model = model
        self._tokenizer = tokenizer

    def load(self) -> None:
        """Bring the weights into memory, unless they are there; raises BackboneError where that cannot be done."""
        self._model.get()

    @torch.inference_mode()
    def __call__(self, text: str) -> Float[Tensor, " dim"]:
        """The projected embedding of `text`, not normalised; raises BackboneError for a text that is too long."""
        tokens: Tensor = self._tokenizer(text, return_tensors="pt")["input_ids"]
        if tokens.shape[1] > self._max_tokens:
            raise BackboneError(
                f"{self.spec.model}: takes {self._max_tokens} tokens, and the text has {tokens.shape[1]}; shorten "
                f"prompt = {text!r}."
            )
        vector: Tensor = self._model.get()(self._model.placement.move(tokens)).text_embeds[0]
        return vector


def load_clip_text(checkpoint: Checkpoint, *, models: Models) -> TextEncoder:
    """The text tower in `checkpoint`, a whole CLIP model or its text half with the projection.

    Raises:
        BackboneError: if it is another model, or not whole.
    """
    config = load_config(CLIPTextConfig, checkpoint=checkpoint)
    if config.projection_dim is None:
        raise BackboneError(f"{checkpoint.model}: its configuration has no projection_dim; choose a CLIP text tower.")
    tokenizer = _load_tokenizer(checkpoint)
    model = models.of(CLIPTextModelWithProjection, part=whole, checkpoint=checkpoint, config=config)
    spec = model.describe(
        preprocessing={"tokenizer": "the model's own byte-pair encoding, lower case"},
        output={"vector": "text embedding at the end token, projected, not normalised"},
    )
    return TextEncoder(
        model,
        dim=config.projection_dim,
        max_tokens=config.max_position_embeddings,
        tokenizer=tokenizer,
        spec=spec,
    )


def _load_tokenizer(checkpoint: Checkpoint) -> CLIPTokenizer:
    if not any((checkpoint.folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise BackboneError(f"{checkpoint.folder}: has neither tokenizer.json nor vocab.json; fetch the model again.")
    try:
        with quiet_transformers():
            tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise BackboneError(f"{checkpoint.folder}: the tokenizer cannot be loaded ({error}).") from error
    return tokenizer
