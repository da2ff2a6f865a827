/*
 * The arena: one mapping that neither the kernel nor another process can read, cut into stacks and a heap.
 *
 *     |guard| stack |guard| stack |guard| stack |guard| stack |guard| heap                            |guard|
 *
 *     heap     blocks of 2^5 .. 2^18 bytes, each split from one twice as long and joined with its twin again (buddies)
 *     block    | seal 8 | order 4 | asked 4 | bytes of the caller ..                            |
 *     free     | seal 8 | order 4 | 0       | next 8 | previous 8 | zeros ..                    |
 *
 *     seal     = a random number XOR the block's place; inverted while the block is free
 *     long     |guard| 1 MiB and more, only while a thread is allowed to |guard|    apart from the arena
 *
 * memfd_secret(2) first: its pages are unmapped from the kernel. Else anonymous memory, locked, kept out of core files
 * and wiped in the child of a fork. Everything is touched once at the start: newer kernels answer a lack of lockable
 * memory with SIGBUS at the first touch, and later nobody could catch that.
 */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

enum { ORDER_LEAST = 5, ORDER_MOST = 18, NOISE_BYTES = 4096, LONG_BYTES_LEAST = 1024 * 1024, LONG_BLOCKS = 2 };

struct block {
  uint64_t seal;
  uint32_t order;
  uint32_t asked;
};

/* Lies behind the header of a free block. */
typedef struct links {
  struct block *next;
  struct block *previous;
} links;

_Static_assert(sizeof(struct block) == 16, "what callers get is aligned to 16");
_Static_assert(sizeof(struct block) + sizeof(links) <= 1 << ORDER_LEAST, "the least block holds both");

static struct {
  pthread_mutex_t lock;
  vault_backend backend;
  arena_room whole;
  uint8_t *heap;
  size_t heap_bytes;
  uint64_t secret;
  struct block *free[ORDER_MOST + 1];
  size_t used;
  size_t peak;
  uint8_t *noise;
  size_t noise_used;
  arena_room long_blocks[LONG_BLOCKS];
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static volatile sig_atomic_t lost;
/* initial-exec: no call to find it, it is asked for at each operation */
static _Thread_local int refused __attribute__((tls_model("initial-exec")));
static _Thread_local int long_allowed __attribute__((tls_model("initial-exec")));

static void end_process(const char *why) {
  (void)!write(STDERR_FILENO, why, strlen(why));
  abort();
}

/* ---- the mapping ---- */

static sigjmp_buf no_page;

static void on_bus_error(int signal_number) {
  (void)signal_number;
  siglongjmp(no_page, 1);
}

/* Touches every page. 0 when one could not be had. */
static int fill_pages(uint8_t *at, size_t bytes) {
  struct sigaction catching = {.sa_handler = on_bus_error}, before;
  if (sigaction(SIGBUS, &catching, &before) != 0) return 0;
  volatile int filled = 0;
  if (sigsetjmp(no_page, 1) == 0) {
    memset(at, 0, bytes);
    filled = 1;
  }
  (void)sigaction(SIGBUS, &before, NULL);
  return filled;
}

static int map_secret(uint8_t *at, size_t bytes) {
  int file = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
  if (file < 0) return 0;
  int mapped = ftruncate(file, (off_t)bytes) == 0 &&
               mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED;
  (void)close(file);
  return mapped && madvise(at, bytes, MADV_DONTFORK) == 0 && madvise(at, bytes, MADV_DONTDUMP) == 0 &&
         fill_pages(at, bytes);
}

static int map_locked(uint8_t *at, size_t bytes) {
  return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED &&
         madvise(at, bytes, MADV_DONTDUMP) == 0 && madvise(at, bytes, MADV_WIPEONFORK) == 0 &&
         syscall(SYS_mlock, at, bytes) == 0 && /* the library function does nothing under AddressSanitizer */
         fill_pages(at, bytes);
}

static int map_whole(size_t bytes, size_t page, vault_backend wanted) {
  uint8_t *reserved = mmap(NULL, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return 0;
  arena.whole = (arena_room){reserved + page, bytes};
  if (wanted != VAULT_LOCKED && map_secret(arena.whole.bottom, bytes)) {
    arena.backend = VAULT_MEMFD_SECRET;
    return 1;
  }
  if (wanted != VAULT_MEMFD_SECRET && map_locked(arena.whole.bottom, bytes)) {
    arena.backend = VAULT_LOCKED;
    return 1;
  }
  (void)munmap(reserved, bytes + 2 * page);
  return 0;
}

static void lose(void) {
  lost = 1;
}

static size_t whole_pages(size_t bytes, size_t page) {
  return (bytes + page - 1) / page * page;
}

static void push(size_t offset, uint32_t order);

/* Cuts the heap into the longest blocks whose place is a multiple of their length. */
static void cut_heap(void) {
  size_t at = 0;
  while (arena.heap_bytes - at >= (size_t)1 << ORDER_LEAST) {
    uint32_t order = ORDER_MOST;
    while (at % ((size_t)1 << order) != 0 || ((size_t)1 << order) > arena.heap_bytes - at) order--;
    push(at, order);
    at += (size_t)1 << order;
  }
}

vault_result arena_open(size_t bytes, vault_backend wanted, const size_t stack_bytes[ARENA_STACKS],
                        arena_room stacks[ARENA_STACKS]) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t needed = 16 * page;
  for (int at = 0; at < ARENA_STACKS; at++) needed += whole_pages(stack_bytes[at], page) + page;
  if (bytes < needed || bytes > (size_t)1 << 40) return VAULT_NO_MEMORY;
  if (!map_whole(whole_pages(bytes, page), page, wanted)) return VAULT_NO_PROTECTION;

  uint8_t *at = arena.whole.bottom;
  for (int stack = 0; stack < ARENA_STACKS; stack++) {
    stacks[stack] = (arena_room){at, whole_pages(stack_bytes[stack], page)};
    at += stacks[stack].bytes;
    if (stacks[stack].bytes == 0) continue;
    if (mprotect(at, page, PROT_NONE) != 0) return VAULT_NO_PROTECTION;
    at += page;
  }
  arena.heap = at;
  arena.heap_bytes = (size_t)(arena.whole.bottom + arena.whole.bytes - at);
  if (getrandom(&arena.secret, sizeof arena.secret, 0) != sizeof arena.secret) return VAULT_INTERNAL;
  cut_heap();
  arena.noise = arena_take(NOISE_BYTES);
  arena.noise_used = NOISE_BYTES;
  if (!arena.noise) return VAULT_NO_MEMORY;
  return pthread_atfork(NULL, NULL, lose) == 0 ? VAULT_OK : VAULT_INTERNAL;
}

vault_backend arena_backend(void) {
  return arena.backend;
}

arena_room arena_whole(void) {
  return arena.whole;
}

int arena_is_lost(void) {
  return lost;
}

/* ---- the heap ---- */

static struct block *block_at(size_t offset) {
  return (struct block *)(void *)(arena.heap + offset);
}

static size_t offset_of(const struct block *block) {
  return (size_t)((const uint8_t *)block - arena.heap);
}

static links *links_of(struct block *block) {
  return (links *)(void *)(block + 1);
}

static uint64_t seal_of(size_t offset) {
  return arena.secret ^ (uint64_t)offset * 0x9e3779b97f4a7c15u;
}

static int is_free(const struct block *block, uint32_t order) {
  return block->seal == ~seal_of(offset_of(block)) && block->order == order;
}

static void push(size_t offset, uint32_t order) {
  struct block *first = block_at(offset);
  ASAN_UNPOISON_MEMORY_REGION(first, sizeof *first + sizeof(links));
  *first = (struct block){.seal = ~seal_of(offset), .order = order};
  *links_of(first) = (links){.next = arena.free[order]};
  if (arena.free[order]) links_of(arena.free[order])->previous = first;
  arena.free[order] = first;
}

/* Takes a free block out of its list; what is left of its header counts for nothing. */
static void pull(struct block *block) {
  links own = *links_of(block);
  if (own.previous) links_of(own.previous)->next = own.next;
  else arena.free[block->order] = own.next;
  if (own.next) links_of(own.next)->previous = own.previous;
  memset(block, 0, sizeof *block + sizeof(links));
}

static uint32_t order_for(size_t bytes) {
  uint32_t order = ORDER_LEAST;
  while (((size_t)1 << order) < bytes + sizeof(struct block)) order++;
  return order;
}

static void *take_locked(size_t bytes) {
  uint32_t order = order_for(bytes);
  uint32_t found = order;
  while (found <= ORDER_MOST && !arena.free[found]) found++;
  if (found > ORDER_MOST) return NULL;
  struct block *taken = arena.free[found];
  size_t offset = offset_of(taken);
  if (!is_free(taken, found)) end_process("vault: the arena is damaged\n");
  pull(taken);
  while (found > order) {
    found--;
    push(offset + ((size_t)1 << found), found);
  }
  *taken = (struct block){.seal = seal_of(offset), .order = order, .asked = (uint32_t)bytes};
  arena.used += (size_t)1 << order;
  if (arena.used > arena.peak) arena.peak = arena.used;
  return taken + 1;
}

#ifdef VAULT_TESTING
static long takes_left = -1;

void arena_refuse_after(long takes) {
  takes_left = takes;
}

static int is_to_be_refused(void) {
  if (takes_left < 0) return 0;
  if (takes_left == 0) return 1;
  takes_left--;
  return 0;
}
#else
static int is_to_be_refused(void) {
  return 0;
}
#endif

/* ---- long blocks ---- */

void arena_allow_long(int allowed) {
  long_allowed = allowed;
}

/* What the limit does not allow to be locked is at least no part of a core. */
static uint8_t *map_long(size_t bytes, size_t page) {
  size_t whole = whole_pages(bytes, page);
  uint8_t *reserved = mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return NULL;
  uint8_t *at = reserved + page;
  if (mprotect(at, whole, PROT_READ | PROT_WRITE) != 0 || madvise(at, whole, MADV_DONTDUMP) != 0 ||
      madvise(at, whole, MADV_WIPEONFORK) != 0) {
    (void)munmap(reserved, whole + 2 * page);
    return NULL;
  }
  (void)syscall(SYS_mlock, at, whole);
  return at;
}

/* The place of a long block, or a free one for NULL; NULL if there is none. Under the lock. */
static arena_room *place_of_long(const void *bytes) {
  for (arena_room *room = arena.long_blocks; room < arena.long_blocks + LONG_BLOCKS; room++) {
    if (room->bottom == bytes) return room;
  }
  return NULL;
}

static void *take_long(size_t bytes) {
  pthread_mutex_lock(&arena.lock);
  arena_room *room = place_of_long(NULL);
  uint8_t *taken = room && !is_to_be_refused() ? map_long(bytes, (size_t)sysconf(_SC_PAGESIZE)) : NULL;
  if (taken) *room = (arena_room){taken, bytes};
  pthread_mutex_unlock(&arena.lock);
  if (!taken) refused = 1;
  return taken;
}

static int is_in_heap(const void *bytes) {
  const uint8_t *at = bytes;
  return at >= arena.heap && at < arena.heap + arena.heap_bytes;
}

static int is_long(const void *bytes) {
  if (is_in_heap(bytes)) return 0; /* nearly all are, and that costs no lock */
  pthread_mutex_lock(&arena.lock);
  int is = place_of_long(bytes) != NULL;
  pthread_mutex_unlock(&arena.lock);
  return is;
}

static void give_long(void *bytes) {
  pthread_mutex_lock(&arena.lock);
  arena_room *room = place_of_long(bytes), given = *room;
  *room = (arena_room){0};
  pthread_mutex_unlock(&arena.lock);
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  explicit_bzero(given.bottom, given.bytes);
  (void)munmap(given.bottom - page, whole_pages(given.bytes, page) + 2 * page);
}

/* ---- all blocks ---- */

void *arena_take(size_t bytes) {
  if (bytes == 0 || lost) return NULL;
  if (bytes >= LONG_BYTES_LEAST && long_allowed) return take_long(bytes);
  int is_too_long = bytes > ((size_t)1 << ORDER_MOST) - sizeof(struct block);
  pthread_mutex_lock(&arena.lock);
  void *taken = is_too_long || is_to_be_refused() ? NULL : take_locked(bytes);
  pthread_mutex_unlock(&arena.lock);
  if (!taken) {
    refused = 1;
    return NULL;
  }
  ASAN_UNPOISON_MEMORY_REGION(taken, bytes);
  return taken;
}

/* The header of a block that somebody holds. */
static struct block *checked(void *bytes) {
  uint8_t *at = bytes;
  struct block *held = (struct block *)bytes - 1;
  int is_inside = at >= arena.heap + sizeof(struct block) && at < arena.heap + arena.heap_bytes;
  if (!is_inside || ((uintptr_t)at & 15) != 0 || held->seal != seal_of(offset_of(held))) {
    end_process("vault: the arena is damaged\n");
  }
  return held;
}

static void give_locked(struct block *given) {
  size_t offset = offset_of(given);
  uint32_t order = given->order;
  arena.used -= (size_t)1 << order;
  given->seal = 0;
  for (; order < ORDER_MOST; order++) {
    size_t twin = offset ^ ((size_t)1 << order);
    if (twin + ((size_t)1 << order) > arena.heap_bytes || !is_free(block_at(twin), order)) break;
    pull(block_at(twin));
    memset(block_at(offset), 0, sizeof(struct block));
    offset &= ~((size_t)1 << order);
  }
  push(offset, order);
}

void arena_give(void *bytes) {
  if (!bytes || lost) return;
  if (is_long(bytes)) {
    give_long(bytes);
    return;
  }
  struct block *given = checked(bytes);
  size_t room = ((size_t)1 << given->order) - sizeof(struct block);
  ASAN_UNPOISON_MEMORY_REGION(bytes, room);
  explicit_bzero(bytes, room);
  ASAN_POISON_MEMORY_REGION((uint8_t *)bytes + sizeof(links), room - sizeof(links));
  pthread_mutex_lock(&arena.lock);
  give_locked(given);
  pthread_mutex_unlock(&arena.lock);
}

void *arena_resize(void *bytes, size_t wanted) {
  if (!bytes) return arena_take(wanted);
  if (wanted == 0) {
    arena_give(bytes);
    return NULL;
  }
  if (lost) return NULL;
  if (is_long(bytes)) { /* nobody makes one longer */
    refused = 1;
    return NULL;
  }
  struct block *held = checked(bytes);
  size_t room = ((size_t)1 << held->order) - sizeof(struct block);
  size_t asked = held->asked;
  if (wanted <= room) {
    if (wanted < asked) explicit_bzero((uint8_t *)bytes + wanted, asked - wanted);
    ASAN_UNPOISON_MEMORY_REGION(bytes, wanted);
    held->asked = (uint32_t)wanted;
    return bytes;
  }
  void *moved = arena_take(wanted);
  if (!moved) return NULL;
  memcpy(moved, bytes, asked);
  arena_give(bytes);
  return moved;
}

int arena_has_refused(void) {
  return refused;
}

void arena_forget_refusal(void) {
  refused = 0;
}

void arena_measure(size_t *bytes, size_t *used, size_t *peak) {
  pthread_mutex_lock(&arena.lock);
  *bytes = arena.whole.bytes;
  *used = arena.used;
  *peak = arena.peak;
  pthread_mutex_unlock(&arena.lock);
}

/* ---- wiping ---- */

/* Keeps the compiler from leaving out what nobody reads. */
static void settle(void *at) {
  __asm__ volatile("" : : "r"(at) : "memory");
}

/* Random bytes by the block: a draw of 44 costs as much as one of thousands. */
static void overwrite_with_noise(uint8_t *at, size_t bytes) {
  pthread_mutex_lock(&arena.lock);
  for (size_t done = 0, part; done < bytes; done += part) {
    if (arena.noise_used == NOISE_BYTES) {
      if (getrandom(arena.noise, NOISE_BYTES, 0) != NOISE_BYTES) break; // the other passes have been made or follow
      arena.noise_used = 0;
    }
    part = NOISE_BYTES - arena.noise_used;
    if (part > bytes - done) part = bytes - done;
    memcpy(at + done, arena.noise + arena.noise_used, part);
    arena.noise_used += part;
  }
  pthread_mutex_unlock(&arena.lock);
}

void wipe_bytes(void *at, size_t bytes) {
  memset(at, 0xff, bytes);
  settle(at);
  memset(at, 0, bytes);
  settle(at);
  overwrite_with_noise(at, bytes);
  settle(at);
  memset(at, 0, bytes);
  settle(at);
}
