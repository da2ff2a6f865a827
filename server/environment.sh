# How the server's process takes memory from the system and gives it back: sourced by bin/feldfon-server and the benches.

# jemalloc, where Debian's package is there: what a storm of joins has freed goes back to the system after two seconds.
# glibc keeps it in pieces, 20 KiB for each line that came meanwhile.
jemalloc=/usr/lib/$(uname -m)-linux-gnu/libjemalloc.so.2
if [ -e "$jemalloc" ]; then
  export LD_PRELOAD="$jemalloc${LD_PRELOAD:+ $LD_PRELOAD}"
  export MALLOC_CONF=background_thread:true,dirty_decay_ms:2000,muzzy_decay_ms:0
fi

# glibc's own, where it serves: what is large goes back when it is freed.
export MALLOC_ARENA_MAX=2
export MALLOC_MMAP_THRESHOLD_=131072
export MALLOC_TRIM_THRESHOLD_=131072

# A new space that fits into a processor's cache: buffers are freed when it is collected, and with Node's 16 MiB they pile up.
export NODE_OPTIONS="--max-semi-space-size=8 ${NODE_OPTIONS:-}"
