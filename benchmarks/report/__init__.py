"""`python -m benchmarks report`: results as one HTML page and as the README's table.

results    the files, the newest of each kind; numbers for people
targets    what the server is held to
peers      the servers side by side
axes, charts, html    drawings and pieces of a page
sections, single, swaps    the parts of the page
page, markdown        the whole of each
"""
