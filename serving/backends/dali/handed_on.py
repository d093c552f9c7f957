"""Decoded rows where they lie: handed to Triton by address (DLPack), so that pixels never leave the GPU.

DALI gives a whole batch as one block. A request's part of it is the same memory further on, which neither
DALI's tensors nor numpy can say of a GPU's memory; DLPack, a struct of address, shape and type, can.
Source: https://dmlc.github.io/dlpack/latest/c_api.html (version 0, which every consumer reads).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

CPU, CUDA = 1, 2  # DLDeviceType
UINT8 = (1, 8)  # (DLDataTypeCode, bits)
NAME = b"dltensor"


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]

_lent: dict[int, tuple[Any, ...]] = {}  # address of a struct -> what must live as long as its consumer


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _returned(address: int) -> None:
    """A consumer has done with a tensor."""
    _lent.pop(address, None)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _unread(capsule: int) -> None:
    """A capsule ends; nobody took what is in it if it still has its name."""
    if _is_valid(capsule, NAME):
        _lent.pop(_pointer(capsule, NAME), None)


@dataclass(frozen=True)
class Rows:
    """Contiguous uint8 memory of somebody else, valid until the pipeline that wrote it runs again.

    address: of the first byte; shape: without batch; device: GPU number, None for the CPU
    owner:   kept alive as long as these rows or who received them
    """

    address: int
    shape: tuple[int, ...]
    device: int | None
    owner: Any

    def part(self, first: int, count: int) -> Rows:
        """Rows `first` to `first + count` along the first axis."""
        row = 1
        for size in self.shape[1:]:
            row *= size
        return Rows(self.address + first * row, (count, *self.shape[1:]), self.device, self.owner)

    def reshaped(self, *shape: int) -> Rows:
        """The same bytes in another shape."""
        return Rows(self.address, shape, self.device, self.owner)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind of device and its number."""
        return (CPU, 0) if self.device is None else (CUDA, self.device)

    def __dlpack__(self, *, stream: object = None, **wanted: object) -> object:
        """A capsule; the memory is written already, hence nothing to wait for on the consumer's stream."""
        kind, number = self.__dlpack_device__()
        shape = (ctypes.c_int64 * len(self.shape))(*self.shape)
        managed = _Managed(
            _Tensor(self.address, kind, number, len(self.shape), *UINT8, 1, shape, None, 0),
            None,
            ctypes.cast(_returned, ctypes.c_void_p).value,
        )
        address = ctypes.addressof(managed)
        _lent[address] = (managed, shape, self.owner)
        return _new(address, NAME, ctypes.cast(_unread, ctypes.c_void_p).value)


def rows_of(batch: Any) -> Rows | None:
    """The block of a DALI TensorList of equal uint8 samples; None where they differ or lie apart."""
    shapes = {tuple(shape) for shape in batch.shape()}
    if len(shapes) != 1 or not batch.is_dense_tensor():
        return None
    block = batch.as_tensor()
    device = block.device_id() if hasattr(block, "device_id") else None
    return Rows(block.data_ptr(), tuple(block.shape()), device, (batch, block))
