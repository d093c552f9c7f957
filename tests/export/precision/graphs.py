"""Small graphs whose weak places are known: every block is a module, named as the exporter does."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from export.contract import Contract, Tensor

WIDTH = 16
CONTRACT = Contract(
    "made", (Tensor("x", "FP32", (6, WIDTH)),), (Tensor("y", "FP32", (6, WIDTH)),), 8, "onnxruntime"
)


class Network:
    """x (batch, 6, 16) -> blocks -> y, the same shape; `blocks` are named `layers.0`, `layers.1`, ..."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], []
        self.at, self.blocks = "x", 0

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def mixing(self, scale=1.0):
        return self.constant(scale * self.rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH))

    def add(self, kind, *inputs, **attributes):
        name = f"{kind.lower()}_{len(self.nodes)}"
        made = helper.make_node(kind, list(inputs), [name], name=name, **attributes)
        scopes = str(["", "layers", f"layers.{self.blocks}", name])
        entry = made.metadata_props.add()
        entry.key, entry.value = "pkg.torch.onnx.name_scopes", scopes
        self.nodes.append(made)
        return name

    def plain(self):
        """A linear layer and its activation."""
        self.at = self.add("Relu", self.add("MatMul", self.at, self.mixing()))
        return self.next()

    def large(self, size):
        """Activations of about `size`, and a linear layer that makes them small again."""
        grown = self.add("Relu", self.add("MatMul", self.at, self.mixing(np.sqrt(size))))
        grown = self.add("MatMul", grown, self.mixing(np.sqrt(size)))
        self.at = self.add("MatMul", grown, self.mixing(1 / size))
        return self.next()

    def attention(self, sharpness):
        """Attention whose largest logits are about `sharpness`, and what it was before."""
        query, key, value = (self.add("MatMul", self.at, self.mixing()) for _ in range(3))
        turned = self.add("Transpose", key, perm=[0, 2, 1])
        logits = self.add("Mul", self.add("MatMul", query, turned), self.constant(sharpness / WIDTH))
        shares = self.add("Softmax", logits, axis=-1)
        self.at = self.add("Add", self.at, self.add("MatMul", shares, value))
        return self.next()

    def cancelled(self, offset):
        """Small differences on a large offset, which is then taken away."""
        self.at = self.add("MatMul", self.at, self.mixing())
        self.at = self.add("Add", self.at, self.constant(np.full(WIDTH, offset)))
        self.at = self.add("Relu", self.at)
        self.at = self.add("Sub", self.at, self.constant(np.full(WIDTH, offset)))
        return self.next()

    def next(self):
        self.blocks += 1
        return self

    def graph(self):
        self.nodes.append(helper.make_node("Identity", [self.at], ["y"], name="out"))
        sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6, WIDTH]) for name in "xy"]
        graph = helper.make_graph(self.nodes, "made", sides[:1], sides[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def inputs(items, seed):
    return {"x": np.random.default_rng(seed).standard_normal((items, 6, WIDTH)).astype(np.float32)}
