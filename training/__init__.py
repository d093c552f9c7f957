"""How weights come to be: weld runs, their reader and decoder, the training loop and its metrics."""
