"""What the processor can do for a training, as far as TensorFlow's oneDNN lets it."""

import os
from dataclasses import dataclass
from pathlib import Path

# oneDNN's names of instruction sets that multiply bfloat16 (oneDNN's guide, "CPU dispatcher control").
_WITH_BFLOAT16 = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10_1_512", "DEFAULT", "ALL")
_FLAGS = {"avx512_bf16", "amx_bf16"}
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


@dataclass(frozen=True)
class Processor:
    """The machine as a training finds it.

    Attributes:
        name: of the processor's model.
        threads: that this process may use at once; affinity and a container's share count.
        without_bfloat16: why bfloat16 is not multiplied in hardware; empty where it is.
    """

    name: str
    threads: int
    without_bfloat16: str


def this_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """The machine that this runs on; where it does not tell (as outside Linux), it is taken to have no bfloat16."""
    import joblib

    told = _told(cpuinfo)
    flags = set(told.get("flags", "").split())
    return Processor(told.get("model name", "unknown processor"), int(joblib.cpu_count()), _without_bfloat16(flags))


def _told(cpuinfo: Path) -> dict[str, str]:
    """The first processor's lines, key -> value."""
    try:
        first = cpuinfo.read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _without_bfloat16(flags: set[str]) -> str:
    if not flags & _FLAGS:
        return "the processor has neither avx512_bf16 nor AMX"
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return "TF_ENABLE_ONEDNN_OPTS=0 switches oneDNN off"
    limits = ((name, os.environ[name]) for name in _LIMITS if name in os.environ)
    barring = [f"{name}={value} bars it" for name, value in limits if not value.upper().startswith(_WITH_BFLOAT16)]
    return "; ".join(barring)
