"""The programs that make_program_fixtures.py records: checkpoints, and how each is exported.

A program is named after what it was made with: `raw-sdpa-tf5.23.0` for float32 without a cache, and so on.
"""

from dataclasses import dataclass

from fixture_models import LLAMA3_ROPE, gpt2, llama, qwen2, qwen3

TINY = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 20,
        "max_position_embeddings": 96, "head_dim": 8, "vocab_size": 53}

MISTRAL = {
    "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "initializer_range": 0.02, "model_type": "mistral", "num_hidden_layers": 1,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 6, "tie_word_embeddings": False,
    "torch_dtype": "float32", "transformers_version": "4.46.3", "use_cache": True,
}

CHECKPOINTS = {
    "llama": llama(num_hidden_layers=2, tie_word_embeddings=True, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE, **TINY),
    "llama2": llama(num_hidden_layers=1, tie_word_embeddings=False, rope_theta=10000.0, **TINY | {"num_key_value_heads": 4}),
    "qwen2": qwen2(num_hidden_layers=1, max_window_layers=1,
                   **{key: value for key, value in TINY.items() if key != "head_dim"}),
    "qwen3": qwen3(num_hidden_layers=1, max_window_layers=1, tie_word_embeddings=False, **TINY),
    "gpt2": gpt2(n_layer=1, n_embd=16, n_head=2, n_positions=96, n_ctx=96, vocab_size=53),
    "mistral": MISTRAL | TINY,
}


@dataclass
class Program:
    """One archive."""

    checkpoint: str
    version: str  # of transformers
    form: str = "raw"
    attention: str = "sdpa"
    dtype: str = "float32"
    cache: str = "none"
    position_ids: bool = True
    modules: bool = False  # keep which module each node came from

    @property
    def name(self):
        parts = [self.form, self.attention]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.cache != "none":
            parts.append(self.cache)
        if not self.position_ids:
            parts.append("ids")
        return "-".join([*parts, f"tf{self.version}"])


# Each form of mask and of operators at least once, rather than the full product.
PROGRAMS = [
    Program("llama", "5.23.0"),
    Program("llama", "5.23.0", "core"),
    Program("llama", "5.23.0", "trt"),
    Program("llama", "4.52.4"),
    Program("llama", "5.23.0", dtype="float16"),
    Program("llama", "5.23.0", "core", "eager", "bfloat16"),
    Program("llama", "4.57.6", cache="dynamic"),
    Program("llama2", "5.23.0"),
    Program("llama2", "5.23.0", "core"),
    Program("qwen2", "4.52.4", "core"),
    Program("qwen2", "4.57.6", "core"),
    Program("qwen2", "5.0.0"),
    Program("qwen2", "5.23.0", "raw", "eager"),
    Program("qwen2", "5.23.0", "trt", dtype="bfloat16"),
    Program("qwen2", "4.57.6", "core", cache="static"),
    Program("qwen2", "5.23.0", cache="static"),
    Program("qwen3", "4.52.4", "raw", "eager"),
    Program("qwen3", "5.17.0", "core"),
    Program("qwen3", "5.23.0", "trt", "eager", "float16"),
    Program("qwen3", "5.23.0", "core", cache="static"),
    Program("qwen3", "5.23.0", "core", cache="dynamic"),
    Program("gpt2", "4.52.4", "trt"),
    Program("gpt2", "4.57.6", "core", "eager"),
    Program("gpt2", "5.23.0"),
    Program("gpt2", "5.23.0", "core", dtype="float16"),
    Program("gpt2", "5.23.0", position_ids=False),
    Program("mistral", "4.52.4"),
    Program("mistral", "4.57.6", "trt"),
    Program("mistral", "5.23.0", modules=True),
]
