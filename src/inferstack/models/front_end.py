"""What stands for the table of words where the input is an image or a sound."""

from __future__ import annotations

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Attribute, TensorRole
from inferstack.models.blocks import EMBEDDING
from inferstack.models.feed_forward import FeedForwardBlock
from inferstack.models.senses import Patches, Signal, Sound, SoundConvolution


class FrontEnd(FeedForwardBlock):
    """Makes tokens of what a model sees or hears."""

    def perceived(self) -> None:
        """Declares the image or the sound, where that is the input."""
        described, batch, tokens = self.description, self.scenario.batch, self.scenario.new_tokens
        if described.patches is not None:
            of = described.patches
            self._given("image", batch, of.channels, of.image, of.image)
        if described.signal is not None:
            self._given("signal", batch, described.signal.features, 1, 2 * tokens)
        if described.sound is not None:
            self._given("sound", batch, 1, 1, described.sound.samples(tokens))

    def _given(self, name: str, *shape: int) -> None:
        self.builder.tensor(name, shape, DType.FLOAT32, TensorRole.INPUT)

    def patches(self, of: Patches) -> str:
        """An image as tokens with their positions."""
        hidden, norm = self.description.hidden, self.description.embedding.norm
        shape = (hidden, of.channels, of.size, of.size)
        inputs = {"x": "image", "weight": self.weight("embedding.patch.weight", *shape)}
        if of.bias:
            inputs["bias"] = self.weight("embedding.patch.bias", hidden)
        says = {"stride": of.size, "padding": 0, "dilation": 1, "groups": 1}
        x = self.add("conv2d", "embedding.patch", inputs, says, part=EMBEDDING)
        x = self.add("to_tokens", "embedding.tokens", {"x": x}, part=EMBEDDING)
        for number in reversed(range(of.leading)):
            table = self.weight(f"embedding.leading{number}", 1, hidden)
            inputs = {"x": x, "table": table}
            x = self.add("prepend", f"embedding.prepend{number}", inputs, part=EMBEDDING)
        table = self.weight("embedding.position", of.tokens, hidden)
        x = self.add("add", "embedding.position_add", {"a": x, "b": table}, part=EMBEDDING)
        return x if norm is None else self.norm("embedding.norm", norm, x, part=EMBEDDING)

    def signal(self, of: Signal) -> str:
        """A signal as tokens with their positions."""
        hidden, tokens = self.description.hidden, self.scenario.new_tokens
        x = "signal"
        for number, channels in enumerate((of.features, hidden), start=1):
            name = f"embedding.conv{number}"
            inputs = {"x": x, "weight": self.weight(f"{name}.weight", hidden, channels, 1, 3)}
            inputs["bias"] = self.weight(f"{name}.bias", hidden)
            says = {"stride": number, "padding": 1, "row_padding": 0, "dilation": 1, "groups": 1}
            x = self.add("conv2d", name, inputs, says, part=EMBEDDING)
            x = self.add("gelu", f"{name}_gelu", {"x": x}, {"approximate": "none"}, part=EMBEDDING)
        x = self.add("to_tokens", "embedding.tokens", {"x": x}, part=EMBEDDING)
        # Fewer tokens than the table has stand for a shorter signal.
        rows = max(self.description.longest, tokens)
        table = self.weight("embedding.position", rows, hidden)
        inputs = {"table": table, "ids": self._places()}
        found = self.add("position_embedding", "embedding.positions", inputs, part=EMBEDDING)
        return self.add("add", "embedding.position_add", {"a": x, "b": found}, part=EMBEDDING)

    def _places(self) -> str:
        """Ids of words, where there are none: positions follow from their number alone."""
        import numpy as np

        shape = (1, self.scenario.new_tokens)
        zeros = np.zeros(shape, dtype=np.int64)
        return self.builder.tensor("places", shape, DType.INT64, TensorRole.CONSTANT, zeros)

    def sound(self, of: Sound) -> str:
        """Samples as tokens with their positions."""
        hidden = self.description.hidden
        x, channels = "sound", 1
        for number, convolution in enumerate(of.convolutions):
            x = self._sound_convolution(f"embedding.conv{number}", of, convolution, channels, x)
            channels = convolution.channels
        x = self.add("to_tokens", "embedding.tokens", {"x": x}, part=EMBEDDING)
        if of.norm is not None:
            x = self.layernorm("embedding.sound_norm", x, channels, of.norm, EMBEDDING)
        x = self.dense("embedding.projection", x, channels, hidden, EMBEDDING)
        x = self.add("mask_tokens", "embedding.masked", {"x": x, "mask": "mask"}, part=EMBEDDING)
        if of.position_kernel:
            places = self._convolved_positions(of, x)
            x = self.add("add", "embedding.position_add", {"a": x, "b": places}, part=EMBEDDING)
        norm = self.description.embedding.norm
        return x if norm is None else self.norm("embedding.norm", norm, x, part=EMBEDDING)

    def _sound_convolution(
        self, name: str, of: Sound, one: SoundConvolution, channels: int, x: str
    ) -> str:
        """One of them with its norm and activation."""
        inputs = {
            "x": x,
            "weight": self.weight(f"{name}.weight", one.channels, channels, 1, one.kernel),
        }
        if of.bias:
            inputs["bias"] = self.weight(f"{name}.bias", one.channels)
        x = self.add("conv2d", name, inputs, {"stride": one.stride}, part=EMBEDDING)
        if one.norm:
            norm = f"{name}_norm"
            slots = {s: self.weight(f"{norm}.{s}", one.channels) for s in ("gamma", "beta")}
            says: dict[str, Attribute] = {"epsilon": SOUND_EPSILON}
            if one.norm == "group":
                says["groups"] = one.channels
                x = self.add("groupnorm", norm, {"x": x, **slots}, says, part=EMBEDDING)
            else:
                x = self.add("to_tokens", f"{norm}_rows", {"x": x}, part=EMBEDDING)
                x = self.add("layernorm", norm, {"x": x, **slots}, says, part=EMBEDDING)
                x = self.add("from_tokens", f"{norm}_back", {"x": x}, part=EMBEDDING)
        return self.active(name, of.activation, x, part=EMBEDDING)

    def _convolved_positions(self, of: Sound, x: str) -> str:
        """Positions are what a wide convolution over the tokens makes of them."""
        hidden, kernel, name = self.description.hidden, of.position_kernel, "embedding.position"
        shape = (hidden, hidden // of.position_groups, 1, kernel)
        x = self.add("from_tokens", f"{name}_times", {"x": x}, part=EMBEDDING)
        inputs = {"x": x, "weight": self.weight(f"{name}.weight", *shape)}
        inputs["bias"] = self.weight(f"{name}.bias", hidden)
        # As many tokens as before; an even kernel sees one more of the earlier ones.
        says = {"padding": kernel // 2, "end_padding": (kernel - 1) // 2, "row_padding": 0}
        says["groups"] = of.position_groups
        x = self.add("conv2d", name, inputs, says, part=EMBEDDING)
        x = self.active(name, of.activation, x, part=EMBEDDING)
        return self.add("to_tokens", f"{name}_tokens", {"x": x}, part=EMBEDDING)


SOUND_EPSILON = 1e-5
"""Of the norms between convolutions: torch's own. Source: transformers, models/wav2vec2."""
