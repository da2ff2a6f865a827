/*
 * Secret stacks: what a compiler spills of a key lies in the arena too, and is wiped when the operation is over.
 *
 *     caller's stack | run_small ----.                      .----> returns
 *                                    v                      |
 *     arena          | guard | ............ operation, OpenSSL | top         then zeros from bottom to top
 *
 *     small   12 KiB, under the vault's lock: AES-GCM, HMAC, HKDF, SRTP; 2 KiB are used, the rest is for a signal.
 *             Its wiping is a quarter of what sealing a packet costs, so it is not longer.
 *     wide    64 KiB, under the vault's lock: X25519, ML-KEM, RSA with public keys
 *     long    128 KiB, two of them: RSA with private keys, nobody else waits
 *
 * Vector registers are cleared on the way out. A signal that comes meanwhile saves its registers on the same stack,
 * which is right, and has room there. AddressSanitizer does not follow onto another stack: its builds stay on the
 * caller's.
 */
#include "stack.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

enum { SMALL, WIDE, LONG };

#if defined(__SANITIZE_ADDRESS__)
const size_t stack_bytes_wanted[ARENA_STACKS] = {0, 0, 0, 0};
#else
const size_t stack_bytes_wanted[ARENA_STACKS] = {
    [SMALL] = 12 * 1024, [WIDE] = 64 * 1024, [LONG] = 128 * 1024, [LONG + 1] = 128 * 1024};
#endif

static arena_room stacks[ARENA_STACKS];
static pthread_mutex_t vault_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t long_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t long_free = PTHREAD_COND_INITIALIZER;
static int long_busy[2];
static int open_for_calls;

typedef struct passage {
  operation run;
  void *call;
  vault_result result;
} passage;

static void pass(passage *through) {
  through->result = through->run(through->call);
}

#if defined(__SANITIZE_ADDRESS__)

static void look_for_registers(void) {
}

static void on_stack(int stack, passage *through) {
  (void)stack;
  pass(through);
}

#else

/* Calls through(argument) with the stack pointer at `top` and comes back; keeps nothing but the old stack pointer. */
void feldfon_vault_call_on(void *top, void (*through)(passage *), passage *argument);

#if defined(__x86_64__)
__asm__(".text\n"
        ".hidden feldfon_vault_call_on\n"
        ".globl feldfon_vault_call_on\n"
        ".type feldfon_vault_call_on, @function\n"
        "feldfon_vault_call_on:\n"
        "  endbr64\n"
        "  pushq %rbp\n"
        "  movq %rsp, %rbp\n"
        "  movq %rdi, %rsp\n"
        "  movq %rdx, %rdi\n"
        "  call *%rsi\n"
        "  movq %rbp, %rsp\n"
        "  popq %rbp\n"
        "  ret\n"
        ".size feldfon_vault_call_on, .-feldfon_vault_call_on\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".hidden feldfon_vault_call_on\n"
        ".globl feldfon_vault_call_on\n"
        ".type feldfon_vault_call_on, %function\n"
        "feldfon_vault_call_on:\n"
        "  stp x29, x30, [sp, #-16]!\n"
        "  mov x29, sp\n"
        "  mov sp, x0\n"
        "  mov x0, x2\n"
        "  blr x1\n"
        "  mov sp, x29\n"
        "  ldp x29, x30, [sp], #16\n"
        "  ret\n"
        ".size feldfon_vault_call_on, .-feldfon_vault_call_on\n");
#elif defined(__arm__)
__asm__(".text\n"
        ".arm\n"
        ".hidden feldfon_vault_call_on\n"
        ".globl feldfon_vault_call_on\n"
        ".type feldfon_vault_call_on, %function\n"
        "feldfon_vault_call_on:\n"
        "  push {r4, lr}\n"
        "  mov r4, sp\n"
        "  mov sp, r0\n"
        "  mov r0, r2\n"
        "  blx r1\n"
        "  mov sp, r4\n"
        "  pop {r4, pc}\n"
        ".size feldfon_vault_call_on, .-feldfon_vault_call_on\n");
#else
#error "the vault has no stack switch for this machine: see stack.c"
#endif

#if defined(__x86_64__)

static int has_avx;
static int has_avx512;

static void look_for_registers(void) {
  __builtin_cpu_init();
  has_avx = __builtin_cpu_supports("avx") != 0;
  has_avx512 = __builtin_cpu_supports("avx512vl") != 0;
}

/* Vector registers hold round keys. Those of AVX-512 are no concern of a compiler that is not told to use them. */
static void clear_registers(void) {
  if (has_avx) {
    __asm__ volatile("vzeroall" : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                     "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  } else {
    __asm__ volatile(
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "  pxor %%xmm\\n, %%xmm\\n\n"
        ".endr" : : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15");
  }
  if (has_avx512) {
    __asm__ volatile(
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
        "  vpxorq %%xmm\\n, %%xmm\\n, %%xmm\\n\n"
        ".endr" : : : "memory");
  }
}

#elif defined(__aarch64__)

static void look_for_registers(void) {
}

/* Vector registers hold round keys; the lower halves of v8 to v15 are the caller's, and were restored. */
static void clear_registers(void) {
  __asm__ volatile(
      ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
      "  movi v\\n\\().2d, #0\n"
      ".endr" : : : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
      "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#else

/* 32-bit ARM may or may not have vector registers; what was in them is soon written over. */
static void look_for_registers(void) {
}

static void clear_registers(void) {
}

#endif

#ifdef VAULT_TESTING
static int measuring;
static size_t most_used[ARENA_STACKS];

static void measure_use(int stack) {
  if (!measuring) return;
  const uint8_t *bottom = stacks[stack].bottom;
  size_t untouched = 0;
  while (untouched < stacks[stack].bytes && bottom[untouched] == 0) untouched++;
  size_t used = stacks[stack].bytes - untouched;
  if (used > most_used[stack]) most_used[stack] = used;
}

void stack_measure(int measure, size_t used[ARENA_STACKS]) {
  measuring = measure;
  if (used) memcpy(used, most_used, sizeof most_used);
}
#endif

static void on_stack(int stack, passage *through) {
  arena_room room = stacks[stack];
  feldfon_vault_call_on(room.bottom + room.bytes, pass, through);
#ifdef VAULT_TESTING
  measure_use(stack);
#endif
  explicit_bzero(room.bottom, room.bytes);
  clear_registers();
}

#endif

void stack_open(const arena_room opened[ARENA_STACKS]) {
  memcpy(stacks, opened, sizeof stacks);
  look_for_registers();
  __atomic_store_n(&open_for_calls, 1, __ATOMIC_RELEASE);
}

static int serves(void) {
  return __atomic_load_n(&open_for_calls, __ATOMIC_ACQUIRE) && !arena_is_lost();
}

static vault_result run_locked(int stack, operation run, void *call) {
  if (!serves()) return VAULT_INTERNAL;
  passage through = {.run = run, .call = call};
  pthread_mutex_lock(&vault_lock);
  arena_forget_refusal();
  on_stack(stack, &through);
  pthread_mutex_unlock(&vault_lock);
  return through.result;
}

vault_result run_small(operation run, void *call) {
  return run_locked(SMALL, run, call);
}

vault_result run_wide(operation run, void *call) {
  return run_locked(WIDE, run, call);
}

vault_result run_long(operation run, void *call) {
  if (!serves()) return VAULT_INTERNAL;
  passage through = {.run = run, .call = call};
  pthread_mutex_lock(&long_lock);
  while (long_busy[0] && long_busy[1]) pthread_cond_wait(&long_free, &long_lock);
  int taken = long_busy[0];
  long_busy[taken] = 1;
  pthread_mutex_unlock(&long_lock);

  arena_forget_refusal();
  on_stack(LONG + taken, &through);
  int error_number = errno;

  pthread_mutex_lock(&long_lock);
  long_busy[taken] = 0;
  pthread_cond_signal(&long_free);
  pthread_mutex_unlock(&long_lock);
  errno = error_number;
  return through.result;
}
