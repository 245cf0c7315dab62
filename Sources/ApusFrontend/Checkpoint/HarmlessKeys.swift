public import ApusSupport

/// Keys of a `config.json` that change nothing about the logits of a decoder.
public enum HarmlessKeys {
    /// Whether a key, with this value, may be passed over.
    public static func contains(_ key: String, _ value: JSON) -> Bool {
        // A leading underscore marks what transformers notes for itself.
        if key.hasPrefix("_") || always.contains(key) { return true }
        if let neutral = whenFalse[key] { return neutral.contains(value) }
        return false
    }

    private static let always: Set<String> = [
        // What the file is and who wrote it.
        "architectures", "auto_map", "model_type", "name_or_path", "transformers_version", "torch_dtype",
        "dtype", "torchscript", "tokenizer_class", "unsloth_fixed", "unsloth_version", "finetuning_task",
        "problem_type", "id2label", "label2id", "num_labels", "prefix", "task_specific_params",
        // Training and what is done with the outputs.
        "attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "hidden_dropout", "initializer_range",
        "gradient_checkpointing", "output_attentions", "output_hidden_states", "output_scores",
        "return_dict", "return_dict_in_generate", "use_return_dict", "use_cache",
        "keys_to_ignore_at_inference",
        "tie_encoder_decoder", "remove_invalid_values", "tf_legacy_loss", "use_bfloat16",
        "chunk_size_feed_forward", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
        "summary_type", "summary_use_proj", "max_sequence_length", "model_max_length",
        // Tokens and generation, which are read where they are used.
        "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id",
        "decoder_start_token_id", "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample",
        "early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty",
        "forced_bos_token_id", "forced_eos_token_id", "length_penalty", "max_length", "min_length",
        "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "repetition_penalty",
        "suppress_tokens", "temperature", "top_k", "top_p", "typical_p",
    ]

    private enum Neutral {
        case `false`, one, empty

        func contains(_ value: JSON) -> Bool {
            switch self {
            case .false: value.bool == false
            case .one: value.int == 1
            case .empty: (value.kind == .array || value.kind == .object) && value.count == 0
            }
        }
    }

    /// Keys that are harmless only with the value that turns them off.
    private static let whenFalse: [String: Neutral] = [
        "pretraining_tp": .one, "is_encoder_decoder": .false, "add_cross_attention": .false,
        "cross_attention_hidden_size": .empty, "pruned_heads": .empty, "rope_interleaved": .false,
    ]
}
