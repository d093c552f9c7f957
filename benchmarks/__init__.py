"""How fast it is: commands that measure a running server and write one JSON each."""
