"""VM sizes that Azure sells, for programs that choose one from a list (AmlCompute.supported_vmsizes).

A choice of common ones, with Azure's figures. Here a size is a name: every node is this machine, and a cluster may
have any size, also one that isn't listed.
"""

from __future__ import annotations

from typing import NamedTuple


class VmSize(NamedTuple):
    name: str
    cores: int
    gpus: int
    memory_gb: float
    disk_mb: int


VM_SIZES = (
    VmSize("Standard_D1_v2", 1, 0, 3.5, 51_200),
    VmSize("Standard_D2_v2", 2, 0, 7.0, 102_400),
    VmSize("Standard_D3_v2", 4, 0, 14.0, 204_800),
    VmSize("Standard_D4_v2", 8, 0, 28.0, 409_600),
    VmSize("Standard_D11_v2", 2, 0, 14.0, 102_400),
    VmSize("Standard_D12_v2", 4, 0, 28.0, 204_800),
    VmSize("Standard_D13_v2", 8, 0, 56.0, 409_600),
    VmSize("Standard_D14_v2", 16, 0, 112.0, 819_200),
    VmSize("Standard_DS2_v2", 2, 0, 7.0, 14_336),
    VmSize("Standard_DS3_v2", 4, 0, 14.0, 28_672),
    VmSize("Standard_DS4_v2", 8, 0, 28.0, 57_344),
    VmSize("Standard_DS5_v2", 16, 0, 56.0, 114_688),
    VmSize("Standard_DS11_v2", 2, 0, 14.0, 28_672),
    VmSize("Standard_DS12_v2", 4, 0, 28.0, 57_344),
    VmSize("Standard_DS13_v2", 8, 0, 56.0, 114_688),
    VmSize("Standard_DS14_v2", 16, 0, 112.0, 229_376),
    VmSize("Standard_F2s_v2", 2, 0, 4.0, 16_384),
    VmSize("Standard_F4s_v2", 4, 0, 8.0, 32_768),
    VmSize("Standard_F8s_v2", 8, 0, 16.0, 65_536),
    VmSize("Standard_F16s_v2", 16, 0, 32.0, 131_072),
    VmSize("Standard_NC6", 6, 1, 56.0, 389_120),
    VmSize("Standard_NC6s_v3", 6, 1, 112.0, 344_064),
)
