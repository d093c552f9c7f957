"""Triton backend `dali`: payloads of a whole batch -> what encoders read, and a status per modality."""
