"""The vision-language model: a photo and a text become answers and embeddings. `presets` names every size."""
