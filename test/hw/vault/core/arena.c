/* The memory: who can reach it, what is left in it, what happens when it is full. */
#define _GNU_SOURCE /* process_vm_readv */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "stack.h"

/* AddressSanitizer knows nothing of these bytes, and takes signals for itself. */
#define UNCHECKED __attribute__((no_sanitize("address"), noinline))

UNCHECKED static void poke(volatile uint8_t *at) {
  signal(SIGSEGV, SIG_DFL);
  *at = 1;
}

static void poke_before(void) {
  open_vault(0);
  poke(arena_whole().bottom);
  poke(arena_whole().bottom - 1);
}

static void poke_behind(void) {
  open_vault(0);
  arena_room whole = arena_whole();
  poke(whole.bottom + whole.bytes - 1);
  poke(whole.bottom + whole.bytes);
}

static void has_guards(void) {
  CHECK(signal_of(poke_before) == SIGSEGV);
  CHECK(signal_of(poke_behind) == SIGSEGV);
}

/* Calls `look` for every readable mapping of the arena, with its flags of /proc/self/smaps. */
static int each_mapping(void (*look)(uint8_t *from, uint8_t *to, const char *name, const char *flags)) {
  arena_room whole = arena_whole();
  uint8_t *from = NULL, *to = NULL;
  char line[512], name[512] = "", permissions[8];
  int seen = 0;
  FILE *smaps = fopen("/proc/self/smaps", "r");
  CHECK(smaps);
  while (fgets(line, sizeof line, smaps)) {
    void *begins, *ends;
    char rest[512] = "";
    if (sscanf(line, "%p-%p %7s %*s %*s %*s %511[^\n]", &begins, &ends, permissions, rest) >= 3) {
      from = begins;
      to = ends;
      strcpy(name, rest);
    }
    int is_ours = from >= whole.bottom && to <= whole.bottom + whole.bytes && permissions[0] == 'r';
    if (!is_ours || strncmp(line, "VmFlags:", 8) != 0) continue;
    look(from, to, name, line);
    seen++;
  }
  fclose(smaps);
  return seen;
}

static int is_locked_backend;

static void check_flags(uint8_t *from, uint8_t *to, const char *name, const char *flags) {
  (void)from, (void)to;
  CHECK(strstr(flags, " dd"));
  CHECK(strstr(name, "secretmem") || strstr(flags, " lo"));
  if (is_locked_backend) CHECK(strstr(flags, " wf"));
  else CHECK(strstr(flags, " dc"));
}

static void is_kept_from_core_files_and_swap(void) {
  open_vault(0);
  CHECK(each_mapping(check_flags) > 0);
}

static void fallback_is_kept_from_core_files_and_swap(void) {
  is_locked_backend = 1;
  GOOD(vault_open(&(vault_options){.backend = VAULT_LOCKED}));
  CHECK(each_mapping(check_flags) > 0);
  vault_status status;
  vault_get_status(&status);
  CHECK(status.backend == VAULT_LOCKED);
}

static int kernel_reads(const void *at) {
  uint8_t byte;
  int file = open("/proc/self/mem", O_RDONLY);
  if (file < 0) return 0;
  ssize_t got = pread(file, &byte, 1, (off_t)(uintptr_t)at);
  close(file);
  return got == 1;
}

/* As a debugger of the same user would. */
static int process_reads(const void *at) {
  uint8_t byte;
  struct iovec to = {&byte, 1}, from = {(void *)(uintptr_t)at, 1};
  return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

static void is_not_read_by_the_kernel(void) {
  open_vault(0);
  vault_status status;
  vault_get_status(&status);
  if (status.backend != VAULT_MEMFD_SECRET) {
    printf("       (this kernel has no memfd_secret: not shown)\n");
    return;
  }
  CHECK(kernel_reads(&status) && process_reads(&status)); /* it does read what is ordinary */
  CHECK(!kernel_reads(arena_whole().bottom));
  CHECK(!kernel_reads(arena_whole().bottom + arena_whole().bytes - 1));
  CHECK(!process_reads(arena_whole().bottom));
}

/* ---- fork ---- */

UNCHECKED static void fill(volatile uint8_t *at, uint8_t value) {
  for (int byte = 0; byte < 16; byte++) at[byte] = value;
}

UNCHECKED static void read_in_child(void) {
  signal(SIGSEGV, SIG_DFL);
  arena_room whole = arena_whole();
  volatile uint8_t sum = 0;
  for (size_t at = 1; at <= 4096; at++) sum |= whole.bottom[whole.bytes - at];
  if (sum == 0) raise(SIGSEGV); /* zeros instead of nothing are as good */
}

static void forked(vault_backend backend) {
  GOOD(vault_open(&(vault_options){.backend = backend}));
  arena_room whole = arena_whole();
  fill(whole.bottom + whole.bytes - 64, 0x55); /* inside the last free block */
  CHECK(signal_of(read_in_child) == SIGSEGV);
  fill(whole.bottom + whole.bytes - 64, 0);
}

static vault_handle inherited, inherited_pair;

static void call_in_child(void) {
  uint8_t out[VAULT_SIGNATURE_BYTES];
  vault_handle made;
  vault_status status;
  IS(vault_mac(inherited, NOTHING, out), VAULT_INTERNAL);
  IS(vault_sign(inherited_pair, NOTHING, out), VAULT_INTERNAL);
  IS(vault_derive(VAULT_MAC, 32, &inherited, 1, NOTHING, NOTHING, &made), VAULT_INTERNAL);
  IS(vault_make_ephemeral(VAULT_X25519, &made, out), VAULT_INTERNAL);
  IS(vault_wipe(inherited), VAULT_INTERNAL);
  vault_wipe_all();
  vault_get_status(&status);
  CHECK(status.slots_in_use == 0);
}

static void is_gone_in_a_child(void) {
  uint8_t spki[VAULT_SPKI_BYTES], mac[VAULT_MAC_BYTES];
  forked(VAULT_MEMFD_SECRET);
  inherited = fresh_slot(VAULT_MAC);
  inherited_pair = load_pair(0, spki);
  CHECK(signal_of(call_in_child) == 0);
  GOOD(vault_mac(inherited, NOTHING, mac));
}

static void fallback_is_gone_in_a_child(void) {
  uint8_t spki[VAULT_SPKI_BYTES], mac[VAULT_MAC_BYTES];
  forked(VAULT_LOCKED);
  inherited = fresh_slot(VAULT_MAC);
  inherited_pair = load_pair(0, spki);
  CHECK(signal_of(call_in_child) == 0);
  GOOD(vault_mac(inherited, NOTHING, mac));
}

/* ---- wiping ---- */

static vault_bytes needle;
static int hits;

UNCHECKED static void count_hits(uint8_t *from, uint8_t *to, const char *name, const char *flags) {
  (void)name, (void)flags;
  for (uint8_t *at = from; at + needle.length <= to; at++) {
    size_t same = 0;
    while (same < needle.length && at[same] == needle.at[same]) same++;
    hits += same == needle.length;
  }
}

int hits_in_arena(vault_bytes secret) {
  needle = secret;
  hits = 0;
  each_mapping(count_hits);
  return hits;
}

static void keeps_nothing_of_a_wiped_secret(void) {
  open_vault(0);
  vault_bytes secret = hex("c0ffee00112233445566778899aabbccddeeff0123456789abcdef55aa55aa5500112233445566778899aabb");
  vault_bytes half = {secret.at + 8, 16};
  vault_handle seal = known_slot(VAULT_PACKET_SEAL, secret), material = known_slot(VAULT_DERIVE, secret), derived;
  uint8_t out[64];
  CHECK(hits_in_arena(half) == 2);
  GOOD(vault_seal(seal, 0, NOTHING, bytes_of("text"), out));
  GOOD(vault_derive(VAULT_MAC, 32, &material, 1, NOTHING, NOTHING, &derived));
  GOOD(vault_mac(derived, NOTHING, out));
  GOOD(vault_wipe(material));
  GOOD(vault_srtp_sender(fresh_slot(VAULT_PACKET_SEAL), &(vault_media_profile){.ssrc = 1}));
  GOOD(vault_wipe(seal));
  CHECK(hits_in_arena(half) == 0);
}

static void keeps_no_epoch_that_is_over(void) {
  open_vault(0);
  vault_bytes master = hex("00112233445566778899aabbccddeeff0123456789abcdef55aa55aa55aa5500c0ffeec0ffee0011223344aa");
  vault_handle sender = known_slot(VAULT_PACKET_SEAL, master);
  GOOD(vault_srtp_sender(sender, &(vault_media_profile){.ssrc = 1}));
  uint8_t packet[64];
  CHECK(hits_in_arena((vault_bytes){master.at, 16}) == 1);
  for (int packets = 0; packets < 3001; packets++) GOOD(vault_srtp_seal(sender, bytes_of("."), 0, packet));
  CHECK(hits_in_arena((vault_bytes){master.at, 16}) == 0);
}

static void zeroes_what_is_given_back(void) {
  open_vault(0);
  vault_bytes bytes = bytes_of("what lay in a block");
  for (size_t length = 20; length < 5000; length *= 2) {
    uint8_t *block = arena_take(length);
    memcpy(block, bytes.at, bytes.length);
    memcpy(block + length - bytes.length, bytes.at, bytes.length);
    block = arena_resize(block, 3 * length);
    memcpy(block + 3 * length - bytes.length, bytes.at, bytes.length);
    CHECK(hits_in_arena(bytes) > 0);
    arena_give(block);
    CHECK(hits_in_arena(bytes) == 0);
  }
  uint8_t *block = arena_take(100);
  memcpy(block + 60, bytes.at, bytes.length);
  CHECK(arena_resize(block, 30) == block); /* what is cut off goes too */
  CHECK(hits_in_arena(bytes) == 0);
}

static vault_bytes spilled;

/* Built at run time, so that no constant is what is found. */
UNCHECKED static vault_result spill(void *length) {
  volatile uint8_t local[256];
  for (size_t at = 0; at < *(size_t *)length; at++) local[at + 100] = spilled.at[at];
  return local[100] == spilled.at[0] ? VAULT_OK : VAULT_INTERNAL;
}

static void wipes_its_stacks(void) {
  open_vault(0);
  spilled = bytes_of("what a compiler spills");
  GOOD(run_small(spill, &spilled.length));
  GOOD(run_wide(spill, &spilled.length));
  GOOD(run_long(spill, &spilled.length));
  CHECK(hits_in_arena(spilled) == 0);
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
static vault_result fill_registers(void *unused) {
  (void)unused;
  __asm__ volatile("pcmpeqd %%xmm6, %%xmm6\npcmpeqd %%xmm15, %%xmm15" : : : "xmm6", "xmm15");
  if (__builtin_cpu_supports("avx512vl")) __asm__ volatile("vpternlogd $0xff, %zmm20, %zmm20, %zmm20");
  return VAULT_OK;
}

static void clears_its_registers(void) {
  open_vault(0);
  uint64_t left[3] = {1, 1, 1};
  (void)run_small(fill_registers, NULL);
  __asm__ volatile("movq %%xmm6, %0\nmovq %%xmm15, %1" : "=m"(left[0]), "=m"(left[1]));
  left[2] = 0;
  if (__builtin_cpu_supports("avx512vl")) __asm__ volatile("vmovq %%xmm20, %0" : "=m"(left[2]));
  CHECK(left[0] == 0 && left[1] == 0 && left[2] == 0);
}

#endif

#if !defined(__SANITIZE_ADDRESS__)
/* Room for a signal on top of the deepest operation: its frame takes 3 to 5 KiB where registers are long. */
static void has_deep_enough_stacks(void) {
  open_vault(0);
  uint8_t spki[VAULT_SPKI_BYTES], out[VAULT_WRAP_BYTES], key[VAULT_ENCAPSULATION_KEY_BYTES];
  uint8_t ciphertext[VAULT_CIPHERTEXT_BYTES];
  vault_handle pair, own, secret;
  size_t used[ARENA_STACKS];
  stack_measure(1, NULL);
  GOOD(vault_make_key_pair(&pair, spki));
  GOOD(vault_wipe(pair));
  pair = load_pair(0, spki);
  int holds;
  GOOD(vault_sign(pair, NOTHING, out));
  GOOD(vault_verify((vault_bytes){spki, sizeof spki}, NOTHING, (vault_bytes){out, sizeof out}, &holds));
  GOOD(vault_wrap((vault_bytes){spki, sizeof spki}, NOTHING, fresh_slot(VAULT_WRAP), out));
  GOOD(vault_unwrap(pair, NOTHING, (vault_bytes){out, sizeof out}, &secret));
  GOOD(vault_make_ephemeral(VAULT_X25519, &own, key));
  GOOD(vault_agree(own, (vault_bytes){key, VAULT_X25519_BYTES}, &secret));
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &own, key));
  GOOD(vault_encapsulate((vault_bytes){key, sizeof key}, ciphertext, &secret));
  GOOD(vault_decapsulate(own, (vault_bytes){ciphertext, sizeof ciphertext}, &secret));
  GOOD(vault_seal(fresh_slot(VAULT_STREAM_SEAL), 0, NOTHING, NOTHING, out));
  GOOD(vault_srtp_sender(fresh_slot(VAULT_PACKET_SEAL), &(vault_media_profile){.ssrc = 1}));
  vault_wipe_all();
  stack_measure(0, used);
  for (int stack = 0; stack < ARENA_STACKS; stack++) CHECK(used[stack] + 8 * 1024 < stack_bytes_wanted[stack]);
  CHECK(used[0] > 0 && used[1] > 0 && used[2] > 0);
}
#endif

/* ---- a full arena ---- */

static void says_when_it_is_full_and_recovers(void) {
  open_vault(0);
  uint8_t spki[VAULT_SPKI_BYTES], signature[VAULT_SIGNATURE_BYTES], public_key[VAULT_ENCAPSULATION_KEY_BYTES];
  uint8_t sealed[64];
  vault_handle pair = load_pair(0, spki), other;
  GOOD(vault_sign(pair, NOTHING, signature));
  size_t before = arena_used();
  static uint8_t big[40000];
  static vault_handle slots[200000];
  size_t count = 0;
  vault_result result = VAULT_OK;
  /* Long ones first, then ever shorter ones until not 48 bytes have room. */
  for (size_t length = sizeof big; length >= 48; length /= 2) {
    while ((result = vault_testing_import(VAULT_MAC, (vault_bytes){big, length}, &other)) == VAULT_OK) {
      slots[count++] = other;
    }
    IS(result, VAULT_NO_MEMORY);
  }
  uint8_t mac[VAULT_MAC_BYTES];
  GOOD(vault_mac(slots[0], NOTHING, mac)); /* takes no memory */
  IS(vault_sign(pair, NOTHING, signature), VAULT_NO_MEMORY);
  IS(vault_make_ephemeral(VAULT_ML_KEM_768, &other, public_key), VAULT_NO_MEMORY);
  IS(vault_make_key_pair(&other, spki), VAULT_NO_MEMORY);
  IS(vault_load_key_pair(key_files[1], &other, spki), VAULT_NO_MEMORY);
  IS(vault_unwrap(pair, NOTHING, (vault_bytes){signature, sizeof signature}, &other), VAULT_NO_MEMORY);
  for (size_t at = 0; at < count; at++) GOOD(vault_wipe(slots[at]));
  CHECK(arena_used() <= before + 4096);

  GOOD(vault_sign(pair, NOTHING, signature));
  GOOD(vault_load_key_pair(key_files[1], &other, spki));
  GOOD(vault_wipe(other));
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &other, public_key));
  GOOD(vault_seal(fresh_slot(VAULT_STREAM_SEAL), 0, NOTHING, bytes_of("text"), sealed));
}

static void has_room_for_long_blocks_after_short_ones(void) {
  open_vault(0);
  static vault_handle slots[60000];
  static uint8_t big[65536];
  vault_handle slot;
  size_t before = arena_used(), count = 0;
  while (count < 60000 && vault_testing_import(VAULT_MAC, (vault_bytes){big, 20}, &slot) == VAULT_OK) {
    slots[count++] = slot;
  }
  for (size_t at = 0; at < count; at += 2) GOOD(vault_wipe(slots[at]));
  for (size_t at = 1; at < count; at += 2) GOOD(vault_wipe(slots[at]));
  CHECK(arena_used() == before);
  for (int blocks = 0; blocks < 12; blocks++) GOOD(vault_testing_import(VAULT_MAC, (vault_bytes){big, 65536}, &slot));
}

static void refuses_blocks_longer_than_it_cuts(void) {
  open_vault(0);
  CHECK(!arena_take((size_t)1 << 18));
  CHECK(arena_has_refused());
  CHECK(!arena_take(SIZE_MAX));
  void *longest = arena_take(((size_t)1 << 18) - 16);
  CHECK(longest);
  arena_give(longest);
}

static void keeps_what_is_in_a_block_that_grows(void) {
  open_vault(0);
  uint8_t *block = arena_take(20);
  memcpy(block, "twenty bytes of text", 20);
  for (size_t bytes = 21; bytes < 70000; bytes = bytes * 3 / 2) {
    block = arena_resize(block, bytes);
    CHECK(block && ((uintptr_t)block & 15) == 0);
    CHECK(memcmp(block, "twenty bytes of text", 20) == 0);
  }
  CHECK(!arena_resize(block, 0));
}

static void does_not_grow_with_handles(void) {
  open_vault(0);
  size_t before = arena_used();
  vault_handle wrap, derive, sealing;
  uint8_t sealed[32];
  for (int round = 0; round < 100000; round++) {
    GOOD(vault_new_secret(&wrap, &derive));
    GOOD(vault_derive(VAULT_STREAM_SEAL, VAULT_STREAM_KEY_BYTES, &derive, 1, NOTHING, NOTHING, &sealing));
    if (round % 16 == 0) GOOD(vault_seal(sealing, 0, NOTHING, bytes_of("text"), sealed));
    GOOD(vault_wipe(wrap));
    GOOD(vault_wipe(sealing));
    GOOD(vault_wipe(derive));
  }
  CHECK(arena_used() == before);
}

/* ---- damage ---- */

static void give_twice(void) {
  open_vault(0);
  void *block = arena_take(100);
  arena_give(block);
  arena_give(block);
}

UNCHECKED static void write_before(void) {
  open_vault(0);
  uint64_t *block = arena_take(100);
  block[-2] ^= 1;
  arena_give(block);
}

static void give_what_is_not_ours(void) {
  open_vault(0);
  static uint8_t elsewhere[64];
  arena_give(elsewhere + 32);
}

/* For Argon2id: apart from the arena, two at a time, and only while they are allowed. */
static void gives_long_blocks_when_they_are_allowed(void) {
  open_vault(0);
  size_t used = arena_used(), length = 3 * 1024 * 1024 + 5;
  CHECK(!arena_take(length));
  arena_allow_long(1);
  CHECK(!arena_take(1024 * 1024 - 1)); /* too long for a block, too short for a long one */
  uint8_t *first = arena_take(length), *second = arena_take(length);
  CHECK(first && second && first != second);
  CHECK(!arena_take(length));
  memset(first, 0xaa, length);
  CHECK(second[0] == 0 && second[length - 1] == 0);
  CHECK(!arena_resize(first, 2 * length));
  CHECK(arena_used() == used);
  arena_give(second);
  second = arena_take(length);
  CHECK(second && second[length - 1] == 0);
  arena_allow_long(0);
  CHECK(!arena_take(length));
  arena_give(first); /* also when they are not any more */
  arena_give(second);
}

static void ends_the_process_when_it_is_damaged(void) {
  fclose(stderr); /* it says so, three times */
  CHECK(signal_of(give_twice) == SIGABRT);
  CHECK(signal_of(write_before) == SIGABRT);
  CHECK(signal_of(give_what_is_not_ours) == SIGABRT);
}

static void opens_once_and_only_with_room(void) {
  IS(vault_open(&(vault_options){.arena_bytes = 65536}), VAULT_NO_MEMORY);
  open_vault(0);
  IS(vault_open(NULL), VAULT_INTERNAL);
}

static void opens_in_the_least_room_or_says_no(void) {
  IS(vault_open(&(vault_options){.arena_bytes = 400 * 1024}), VAULT_NO_MEMORY);
}

static void refuses_calls_before_it_is_open(void) {
  vault_handle wrap, derive;
  uint8_t out[VAULT_SPKI_BYTES];
  IS(vault_new_secret(&wrap, &derive), VAULT_INTERNAL);
  IS(vault_make_key_pair(&wrap, out), VAULT_INTERNAL);
  IS(vault_wipe(1), VAULT_INTERNAL);
  vault_wipe_all();
}

/* What an emulated kernel does not answer as a real one: flags of mappings, what a child inherits. */
const test kernel_tests[] = {
    {"the arena is kept from core files and swap", is_kept_from_core_files_and_swap},
    {"the fallback is kept from core files and swap", fallback_is_kept_from_core_files_and_swap},
    {"the child of a fork has no arena, and every call says so", is_gone_in_a_child},
    {"the child of a fork has no fallback either", fallback_is_gone_in_a_child},
    {0},
};

const test arena_tests[] = {
    {"the arena has guards before and behind", has_guards},
    {"the kernel cannot read the arena for anybody", is_not_read_by_the_kernel},
    {"a wiped secret is nowhere in the arena", keeps_nothing_of_a_wiped_secret},
    {"the master of an epoch that is over is nowhere in the arena", keeps_no_epoch_that_is_over},
    {"what is given back is zeroed", zeroes_what_is_given_back},
    {"the stacks are wiped after each operation", wipes_its_stacks},
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
    {"vector registers are cleared after each operation", clears_its_registers},
#endif
#if !defined(__SANITIZE_ADDRESS__)
    {"the stacks are deep enough for every operation and a signal", has_deep_enough_stacks},
#endif
    {"a full arena says so, and serves again once there is room", says_when_it_is_full_and_recovers},
    {"short blocks join to long ones again", has_room_for_long_blocks_after_short_ones},
    {"blocks longer than it cuts are refused", refuses_blocks_longer_than_it_cuts},
    {"a block that grows keeps its bytes", keeps_what_is_in_a_block_that_grows},
    {"300,000 handles leave nothing behind", does_not_grow_with_handles},
    {"an arena gives long blocks apart, when they are allowed", gives_long_blocks_when_they_are_allowed},
    {"a damaged arena ends the process", ends_the_process_when_it_is_damaged},
    {"the vault opens once, and only with room", opens_once_and_only_with_room},
    {"the vault does not open in too little room", opens_in_the_least_room_or_says_no},
    {"calls before the opening are refused", refuses_calls_before_it_is_open},
    {0},
};
