"""Run the model repository on Triton: the embedded server, its supervisor and our python-based backends.

embedded    a Triton installation made from a wheel
container   the same in NVIDIA's image; `first_start` builds what its GPU needs and `warm_up` its inputs
health      whether every pipeline answers, for a container's health check
server      the command line of one server, its ports, whether it is ready
required    what the model repository must hold before a pipeline can load
processes   what a server leaves in the system, and how to remove it
supervisor  restarts a server that crashes; `backend_processes` notices when one of its parts did,
            `lifeline` ends a server whose supervisor was killed
state       what is known about a server, in a folder
whole_files files that are there whole or not at all
releases/   which versions are live: prepare a set, check it, flip, roll back; a server is brought up there
control     start, look at and stop a supervised server; `running` for a `with` block
backends/   what Triton loads to run the models
"""

from serving.control import Address, running

__all__ = ["Address", "running"]
