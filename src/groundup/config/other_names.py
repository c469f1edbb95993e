"""What others call our settings, presets and texts, so that an unknown name leads to ours.

The names are those of nanoGPT, llama.cpp, the `config.json` and the trainer of Hugging Face, and
of the textbooks. They are only pointed out, never taken: a name means one thing here.
"""

from __future__ import annotations

from collections.abc import Mapping

from groundup.base.errors import plain


def by_other_name(ours: Mapping[str, str]) -> dict[str, str]:
    """Turn a table of ours and the words that others use into one from `plain` words to ours."""
    return {plain(word): name for name, words in ours.items() for word in words.split()}


SETTINGS = by_other_name(
    {
        "emb_dim": "n_embd n_embed embd d_model dmodel model_dim dim hidden_size hidden_dim "
        "embed_dim embedding_dim embedding_size width channels",
        "n_layers": "n_layer num_layers num_hidden_layers layers depth n_blocks num_blocks",
        "n_heads": "n_head num_heads num_attention_heads heads attention_heads",
        "n_kv_heads": "n_kv_head n_head_kv num_key_value_heads kv_heads num_kv_heads query_groups "
        "n_query_groups num_query_groups",
        "head_dim": "head_size d_head d_k key_dim",
        "ffn_dim": "intermediate_size n_inner d_ff dff ffn_hidden_size mlp_dim hidden_features",
        "context_length": "block_size seq_len seq_length sequence_length sequence_len context "
        "ctx ctx_len ctx_size n_ctx n_positions max_seq_len max_seq_length max_sequence_length "
        "max_position_embeddings max_length max_len window_size",
        "vocab_size": "vocab n_vocab vocabulary_size vocabulary vocab_len",
        "drop_rate": "dropout drop p_drop dropout_rate dropout_p resid_pdrop embd_pdrop "
        "hidden_dropout",
        "attention_drop_rate": "attn_dropout attention_dropout attn_pdrop",
        "qkv_bias": "attention_bias attn_bias",
        "norm_eps": "layer_norm_eps layer_norm_epsilon rms_norm_eps eps",
        "position": "pos_emb position_embedding positional_encoding pos_encoding rope",
        "rope_base": "rope_theta theta rope_freq_base",
        "feed_forward": "activation act hidden_act activation_function mlp_type",
        "window": "sliding_window local_window",
        "tie_embeddings": "tie_weights weight_tying tie_word_embeddings tied",
        "n_experts": "num_experts num_local_experts n_expert experts",
        "n_active_experts": "num_experts_per_tok top_k_experts n_expert_used",
        "steps": "max_steps max_iters max_iter iters iterations n_steps num_steps n_iters "
        "num_iters num_iterations train_steps total_steps training_steps num_train_steps",
        "epochs": "epoch n_epochs num_epochs max_epochs num_train_epochs passes",
        "minutes": "time max_time time_limit duration budget max_minutes",
        "batch_size": "bs batch per_device_train_batch_size train_batch_size micro_batch_size "
        "mbs device_batch_size global_batch_size",
        "accumulation": "gradient_accumulation_steps gradient_accumulation grad_accum "
        "grad_accumulation grad_accum_steps accumulate_grad_batches accum",
        "optimizer": "optim optimiser opt",
        "learning_rate": "lr max_lr base_lr step_size alpha eta peak_lr",
        "min_learning_rate": "min_lr eta_min lr_min final_lr",
        "warmup_steps": "warmup warmup_iters num_warmup_steps warmup_ratio warm_up lr_warmup",
        "schedule": "scheduler lr_schedule lr_scheduler lr_scheduler_type decay_lr",
        "weight_decay": "wd decay l2 lambda",
        "beta1": "adam_beta1 betas momentum",
        "beta2": "adam_beta2",
        "grad_clip": "clip clip_grad gradient_clip gradient_clipping max_grad_norm grad_norm_clip "
        "clip_norm gradient_clip_val",
        "seed": "random_seed rng_seed manual_seed random_state",
        "order": "shuffle sampler",
        "eval_every": "eval_interval eval_steps eval_freq val_interval val_every "
        "val_check_interval",
        "eval_tokens": "eval_iters val_iters eval_batches",
        "save_every": "save_interval save_steps save_freq checkpoint_every checkpoint_interval "
        "ckpt_interval",
        "keep": "save_total_limit keep_last max_checkpoints",
        "sample_every": "sample_interval sample_freq",
        "precision": "dtype fp16 bf16 half amp mixed_precision",
        "compile": "torch_compile",
        "checkpoint_activations": "gradient_checkpointing activation_checkpointing grad_checkpoint",
        "device": "gpu cuda use_cuda use_gpu accelerator",
        "threads": "num_threads n_threads",
        "shard": "fsdp fsdp2 zero zero_stage",
    }
)
PRESETS = by_other_name(
    {
        "pico": "tiny xs",
        "nano": "small default gpt nanogpt babygpt",
        "micro": "medium",
        "mini": "large big minigpt",
        "gpt2-124m": "gpt2 gpt2-small gpt2-base gpt2-117m gpt2-125m gpt2small 124m "
        "openai-community/gpt2 openai/gpt2",
        "gpt2-355m": "gpt2-medium gpt2-345m gpt2-350m 355m openai-community/gpt2-medium",
        "gpt2-774m": "gpt2-large gpt2-762m 774m openai-community/gpt2-large",
        "gpt2-1558m": "gpt2-xl gpt2-1.5b gpt2-1542m 1558m 1.5b openai-community/gpt2-xl",
        "gpt3-125m": "gpt3-small",
        "gpt3-350m": "gpt3-medium",
        "gpt3-760m": "gpt3-large",
        "gpt3-175b": "davinci gpt-3.5",
        "llama2-7b": "llama-7b llama-2-7b-hf",
        "llama3.2-1b": "tinyllama tiny-llama tinyllama-1.1b",
        "smollm2-135m": "smollm-135m smol",
        "smollm2-360m": "smollm-360m",
        "smollm2-1.7b": "smollm-1.7b",
        "mixtral-8x7b": "mixtral moe",
    }
)
TEXTS = by_other_name(
    {
        "shakespeare": "tiny_shakespeare tinyshakespeare shakespeare_char plays",
        "kjv": "bible king_james the_bible",
        "factbook": "cia world_factbook cia_world_factbook",
    }
)
