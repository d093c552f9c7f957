"""PyTorch -> ONNX: graphs that keep what `config.pbtxt` promises, compared with PyTorch and described.

pipelines       which models a preset of each pipeline has (weld_models, quality_models,
                vision_language_models, visual_question_models)
artefacts       what lies in a version folder, by the backend that reads it
contract        what one `config.pbtxt` promises
wires           whether the models of an ensemble fit together
onnx_graphs     one module -> one dense ONNX graph
absent_rows     the same graph, computing only the rows that are there
example_inputs  seeded tensors for every input of a contract
parity          the engine against PyTorch, one row per output
manifest        what lies in a version folder, and what it was made from
generator_graphs  the graphs that an answers model runs
publish         whole files or nothing
engines         build, export, wrap and compare one model
jobs            several of them side by side
released        whether a version is live, so that no export changes it
golden          requests with known truth, and what PyTorch answers to them
budgets         what a new set may cost
"""
