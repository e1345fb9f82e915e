#!/bin/bash
# The emulation itself, and every operator under its check. Each wrong kernel of emu/faults.cc
# must be ended with the right words, the right one must pass; then test_cuda runs with every
# access to memory looked at: races between blocks, warps and lanes, alignment, shared memory
# that nobody wrote.
. "$(dirname "$0")/../e2e/lib.sh"
faults=$SEA_BUILD/tests/gpu/faults

ends() {                        # kernel, words
    local said
    said=$("$faults" "$1" 2>&1)
    check_equal "kernel \"$1\" is ended" ended "$([ $? -ge 128 ] && echo ended)"
    check_match "kernel \"$1\" is ended for its fault" "$2" "$said"
}
ends race-between-warps 'no order between|nobody wrote'
ends race-in-a-warp 'no order between a (read|write)'
ends race-of-rounds 'no order between a (read|write)'
ends race-of-writes 'no order between a write and an access'
ends race-of-blocks 'no order between a (read|write)'
ends align 'faults.cc:[0-9]+: address 0x[0-9a-f]+ is not aligned'
ends given-back 'device memory that nobody was given, or gave back'
ends beyond 'device memory that nobody was given, or gave back'
ends unwritten 'shared memory that nobody wrote'
ends barrier '__syncthreads that not all threads reach'
ends lanes 'a warp function that not all living lanes reach'
ends lanes-apart 'lanes of a warp that meet in different warp functions'
ends shared-48k 'more than 48 KiB of shared memory were not asked for'
ends no-blocks 'no blocks'
ends many-blocks 'too many blocks'
ends capture-wait 'waited for while it is captured'
ends capture-memory 'given memory while it is captured'
ends host-read ''
check_equal "the same kernel with its barrier passes, captured" right "$("$faults" right 2>&1)"
check_equal "a piece that is written again before its copy ran is spoilt" spoilt \
    "$("$faults" spoilt 2>&1)"

# An old driver is told apart from none.
run env SEA_CUDA_PLUGIN="$SEA_BUILD/tests/gpu/libsea_cuda.so" EMU_OLD_DRIVER=12040 \
    "$sea" doctor
check_match "a driver that is too old is named" 'driver.* 12\.4' "$out$err"

log=$(SEA_CUDA_EMU=1 SEA_CUDA_CHECK=1 "$SEA_BUILD/tests/gpu/test_cuda" 2>&1)
check_equal "operators pass with every access looked at" 0 $?
check_no_match "and nothing was skipped" 'SKIP|, 0 passed' "$log"
[ "$failed" -eq 0 ] || tail -n 5 <<< "$log"
finish test_emu
