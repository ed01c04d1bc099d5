"""Adapters: LoRA-like weight changes and textual-inversion concepts that attach and detach exactly.

Knows networks and adapter files; it does not know prompts, renders or who asked. Start reading at
`sfumato.models.adapters.attach`, which attaches; `lora_file` reads files, `layer_delta` holds the
algebra, `weight_backup` keeps the original bits.
"""
