"""The fixtures that make_fixtures.py records: one entry per folder, with its config.json as written.

`transformers 4` configs are spelled out key by key as 4.x saved them; an entry with `resave=True` is loaded
and saved by the installed transformers 5, so the file holds exactly what that version writes.
"""

from dataclasses import dataclass, field

LLAMA3_ROPE = {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64, "rope_type": "llama3",
}


@dataclass
class Fixture:
    """What one folder holds and which form its files take."""

    name: str
    note: str
    config: dict
    dtype: str = "float32"
    resave: bool = False  # let transformers 5 write config.json
    shards: int = 1
    metadata: bool = True  # a `__metadata__` entry in the safetensors header
    gpt2_keys: str = "prefixed"  # or "bare": the layout of openai-community/gpt2
    mask_buffers: str = ""  # dtype of GPT-2's leftover `attn.bias` buffers; empty for none
    inv_freq: bool = False  # leftover `rotary_emb.inv_freq` tensors
    extra_head: bool = False  # store lm_head.weight although it is tied
    eos: str = ""  # "int" or "list": choose EOS ids among the greedy tokens and write generation_config.json
    eos_in_config: bool = False  # with `eos`, write the ids into config.json and no generation_config.json
    lengths: tuple = (1, 7, 33, 150)
    optional: str = ""  # the config key to support or to reject by name
    wrong: dict = field(default_factory=dict)  # config changes that must visibly change the logits


def llama(**changes):
    """A Llama config.json as transformers 4.46 writes it."""
    config = {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 48,
        "initializer_range": 0.02, "intermediate_size": 84, "max_position_embeddings": 512, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 3, "num_hidden_layers": 2, "num_key_value_heads": 3,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "torch_dtype": "float32", "transformers_version": "4.46.3",
        "use_cache": True, "vocab_size": 263,
    }
    return config | changes


def qwen2(**changes):
    """A Qwen 2.5 config.json as transformers 4.43 writes it."""
    config = {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 48, "initializer_range": 0.02, "intermediate_size": 84,
        "max_position_embeddings": 512, "max_window_layers": 2, "model_type": "qwen2",
        "num_attention_heads": 3, "num_hidden_layers": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 512, "tie_word_embeddings": True, "torch_dtype": "float32",
        "transformers_version": "4.43.1", "use_cache": True, "use_sliding_window": False, "vocab_size": 269,
    }
    return config | changes


def qwen3(**changes):
    """A Qwen 3 config.json as transformers 4.51 writes it."""
    config = {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 1, "eos_token_id": 2, "head_dim": 32, "hidden_act": "silu", "hidden_size": 48,
        "initializer_range": 0.02, "intermediate_size": 88, "max_position_embeddings": 512,
        "max_window_layers": 2, "model_type": "qwen3", "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 1, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "float32",
        "transformers_version": "4.51.0", "use_cache": True, "use_sliding_window": False, "vocab_size": 271,
    }
    return config | changes


def gpt2(**changes):
    """A GPT-2 config.json with the keys of openai-community/gpt2."""
    config = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 1, "embd_pdrop": 0.1, "eos_token_id": 2, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 200, "n_embd": 48, "n_head": 3,
        "n_layer": 2, "n_positions": 200, "resid_pdrop": 0.1, "summary_activation": None,
        "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
        "summary_type": "cls_index", "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 257,
    }
    return config | changes


def v5(config, theta=None, **rope):
    """The same config in transformers 5's spelling: `rope_parameters` and `dtype`."""
    config = dict(config)
    theta = theta or config.get("rope_theta", 10000.0)
    scaling = config.pop("rope_scaling", None) or {"rope_type": "default"}
    config.pop("rope_theta", None)
    config["dtype"] = config.pop("torch_dtype", "float32")
    config.pop("transformers_version", None)
    return config | {"rope_parameters": {"rope_theta": theta} | scaling | rope}


def only(config, *keys):
    """A config reduced to the named keys, so that class defaults apply to the rest."""
    return {key: config[key] for key in ("architectures", "model_type", *keys)}


SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 56,
         "vocab_size": 211}
TINY = SMALL | {"intermediate_size": 40, "vocab_size": 131}
SHAPE = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size")

FIXTURES = [
    Fixture("gpt2", "prefixed keys, head tied and absent from the file", gpt2(), eos="int",
            wrong={"activation_function": "gelu", "layer_norm_epsilon": 1e-6}),
    Fixture("gpt2-bare-keys", "keys without `transformer.`, F32 `attn.bias` and `attn.masked_bias` left in",
            gpt2(n_positions=176, n_ctx=176, n_embd=32, n_head=2), gpt2_keys="bare", mask_buffers="float32",
            metadata=False, wrong={"activation_function": "gelu", "layer_norm_epsilon": 1e-6}),
    Fixture("gpt2-fp16-erf", "exact gelu, n_inner set, U8 `attn.bias` left in, tied head stored as well",
            gpt2(activation_function="gelu", n_inner=100, n_positions=176, n_ctx=176,
                 n_layer=3, n_head=2, torch_dtype="float16"),
            dtype="float16", mask_buffers="uint8", extra_head=True,
            wrong={"activation_function": "gelu_new"}),
    Fixture("gpt2-minimal", "only shapes given: gelu_new, epsilon 1e-5, tied by default",
            only(gpt2(n_embd=32, n_head=2), "n_embd", "n_head", "n_layer", "n_positions", "vocab_size"),
            wrong={"activation_function": "gelu", "layer_norm_epsilon": 1e-6}),
    Fixture("llama2", "MHA, untied, leftover `rotary_emb.inv_freq`, head_dim 24",
            llama(num_attention_heads=2, num_key_value_heads=2), inv_freq=True, eos="list",
            wrong={"rms_norm_eps": 1e-6, "rope_theta": 10500.0}),
    Fixture("llama2-minimal", "only shapes given: class defaults for the rest", only(llama(**SMALL), *SHAPE),
            metadata=False, wrong={"rms_norm_eps": 1e-5}),
    Fixture("llama2-fp16", "FP16, MHA, untied, transformers 5 config",
            v5(llama(torch_dtype="float16", intermediate_size=120)), dtype="float16", resave=True),
    Fixture("llama3-tied", "Llama 3.2 style: GQA 4, tied, llama3 rope in `rope_scaling`",
            llama(hidden_size=64, num_attention_heads=4, num_key_value_heads=1, rope_theta=500000.0,
                  rope_scaling=LLAMA3_ROPE, tie_word_embeddings=True, head_dim=16), eos="list",
            wrong={"rope_scaling": None, "rms_norm_eps": 1e-6}),
    Fixture("llama3-untied-v5", "Llama 3.1 style: GQA 2, head_dim 32 (not hidden/heads), `rope_parameters`",
            v5(llama(num_attention_heads=4, num_key_value_heads=2, head_dim=32, intermediate_size=72,
                     rope_scaling=LLAMA3_ROPE | {"factor": 32.0})), resave=True,
            wrong={"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "rms_norm_eps": 1e-6}),
    Fixture("llama3-bf16-sharded", "BF16 in three shards with an index, GQA 3, untied",
            llama(num_key_value_heads=1, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE,
                  torch_dtype="bfloat16", vocab_size=301), dtype="bfloat16", shards=3),
    Fixture("llama-biases", "attention_bias and mlp_bias, GQA 3", v5(llama(attention_bias=True, mlp_bias=True,
            num_key_value_heads=1, intermediate_size=72)), resave=True, wrong={"rms_norm_eps": 1e-6}),
    Fixture("qwen2", "Qwen 2.5 style: qkv bias, tied, GQA 3; more lengths, meant for one batch", qwen2(),
            eos="int", lengths=(1, 3, 7, 12, 33, 64, 131, 150), wrong={"rms_norm_eps": 1e-5}),
    Fixture("qwen2-bf16-sharded-v5", "BF16, two shards, untied, GQA 2, `rope_parameters` and `dtype`",
            v5(qwen2(torch_dtype="bfloat16", num_attention_heads=2, tie_word_embeddings=False,
                     intermediate_size=116)), dtype="bfloat16", resave=True, shards=2),
    Fixture("qwen2-minimal", "only shapes given, `num_key_value_heads` null (= heads), untied by default",
            only(qwen2(**SMALL), *SHAPE) | {"num_key_value_heads": None}, metadata=False,
            wrong={"rms_norm_eps": 1e-5}),
    Fixture("qwen3", "q/k norm, head_dim 32 (not hidden/heads), GQA 4, tied", qwen3(), eos="int",
            eos_in_config=True, wrong={"rms_norm_eps": 1e-5}),
    Fixture("qwen3-untied-v5", "untied, GQA 2, head_dim 24, `rope_parameters`",
            v5(qwen3(head_dim=24, num_key_value_heads=2, tie_word_embeddings=False)), resave=True,
            wrong={"rms_norm_eps": 1e-5}),
    Fixture("qwen3-bf16", "BF16, tied", qwen3(torch_dtype="bfloat16", num_hidden_layers=3), dtype="bfloat16"),
    Fixture("qwen3-fp16-bias", "FP16, attention_bias true, MHA, two shards",
            qwen3(torch_dtype="float16", attention_bias=True, num_attention_heads=2, num_key_value_heads=2,
                  tie_word_embeddings=False), dtype="float16", shards=2),
    Fixture("qwen3-minimal", "head_dim left out: the class default 128 applies, not hidden/heads",
            only(qwen3(**SMALL | {"num_key_value_heads": 1}), *SHAPE,
                 "num_key_value_heads"), wrong={"rms_norm_eps": 1e-5}),
    Fixture("llama-rope-linear", "linear rope scaling under its older key `type`",
            llama(**TINY, rope_scaling={"type": "linear", "factor": 4.0}), optional="rope_scaling.type",
            wrong={"rope_scaling": None}),
    Fixture("llama-rope-dynamic", "dynamic NTK, cases within the 64 positions where it does nothing yet",
            llama(**TINY, max_position_embeddings=64, rope_scaling={"rope_type": "dynamic", "factor": 4.0}),
            optional="rope_scaling.rope_type", lengths=(1, 7, 33)),
    Fixture("llama-rope-yarn", "yarn rope scaling",
            llama(**TINY, rope_scaling={"rope_type": "yarn", "factor": 8.0,
                                         "original_max_position_embeddings": 64}),
            optional="rope_scaling.rope_type", wrong={"rope_scaling": None}),
    Fixture("qwen2-sliding", "sliding window 20 from layer 1 on",
            qwen2(**TINY, use_sliding_window=True, sliding_window=20, max_window_layers=1),
            optional="use_sliding_window", wrong={"use_sliding_window": False}),
    Fixture("gpt2-inverse-layer-scale", "attention scores divided by layer index + 1",
            gpt2(n_embd=32, n_head=2, vocab_size=131, scale_attn_by_inverse_layer_idx=True),
            optional="scale_attn_by_inverse_layer_idx", wrong={"scale_attn_by_inverse_layer_idx": False}),
]
