/*
 * The vault as a whole: opened once, asked how it is, wiped at the end.
 *
 *     vault_open    library? --> arena --> OpenSSL's heap = arena --> stacks --> what OpenSSL makes once, made now
 *
 * OpenSSL's own clean-up at exit never runs: it would take apart what another thread may still be using, and the arena
 * goes with the process.
 */
#include "vault.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rsa.h"
#include "seal.h"
#include "slots.h"
#include "stack.h"

_Static_assert(OPENSSL_VERSION_NUMBER >= 0x30500000L, "ML-KEM came with OpenSSL 3.5");

enum { ARENA_BYTES = 4 * 1024 * 1024, HWRNG_BYTES = 64 };

static int is_open;
static int is_claimed; /* OpenSSL's heap is the arena */
static int hwrng_mixed;

static void *take_for_openssl(size_t bytes, const char *file, int line) {
  (void)file, (void)line;
  return arena_take(bytes);
}

static void *resize_for_openssl(void *block, size_t bytes, const char *file, int line) {
  (void)file, (void)line;
  return arena_resize(block, bytes);
}

static void give_for_openssl(void *block, const char *file, int line) {
  (void)file, (void)line;
  arena_give(block);
}

/* Besides what the kernel gives, never instead: counted as no entropy at all. */
static void mix_hwrng(void) {
  uint8_t bytes[HWRNG_BYTES];
  int file = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return;
  hwrng_mixed = read(file, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
  (void)close(file);
  if (hwrng_mixed) RAND_add(bytes, sizeof bytes, 0);
}

/* Lists, locks and methods are made at first use and must not be what a full arena refuses. */
static vault_result warm_up(void) {
  uint8_t random[16];
  int warm = EVP_MD_fetch(NULL, "SHA256", NULL) && EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL) &&
             EVP_SIGNATURE_fetch(NULL, "RSA", NULL) && EVP_KEYMGMT_fetch(NULL, "RSA", NULL) &&
             RAND_priv_bytes(random, sizeof random) == 1 && RAND_bytes(random, sizeof random) == 1;
  return warm ? VAULT_OK : failed(VAULT_INTERNAL);
}

/* Takes two slots at most at a time, and gives them back. */
static vault_result agree_once(void) {
  vault_handle own, secret = 0;
  uint8_t public_key[VAULT_ENCAPSULATION_KEY_BYTES], ciphertext[VAULT_CIPHERTEXT_BYTES];
  vault_bytes kem_key = {public_key, sizeof public_key}, answer = {ciphertext, sizeof ciphertext};
  vault_result result = vault_make_ephemeral(VAULT_X25519, &own, public_key);
  if (result == VAULT_OK) result = vault_agree(own, (vault_bytes){public_key, VAULT_X25519_BYTES}, &secret);
  (void)vault_wipe(secret);
  if (result == VAULT_OK) result = vault_make_ephemeral(VAULT_ML_KEM_768, &own, public_key);
  if (result == VAULT_OK) result = vault_encapsulate(kem_key, ciphertext, &secret);
  (void)vault_wipe(secret);
  if (result == VAULT_OK) result = vault_decapsulate(own, answer, &secret);
  (void)vault_wipe(secret);
  return result;
}

static vault_result open_on_stack(void *argument) {
  const vault_options *options = argument;
  uint64_t settings = OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG;
  if (!OPENSSL_init_crypto(settings, NULL)) return failed(VAULT_INTERNAL);
  mix_hwrng();
  vault_result result = slots_open(options->slots_max);
  if (result == VAULT_OK) result = seal_open_ciphers(options->arena_bytes);
  if (result == VAULT_OK) result = public_keys_open(options->arena_bytes);
  return result == VAULT_OK ? warm_up() : result;
}

vault_result vault_open(const vault_options *wanted) {
  if (OpenSSL_version_num() != OPENSSL_VERSION_NUMBER) return VAULT_WRONG_LIBRARY;
  if (is_claimed) return VAULT_INTERNAL;
  vault_options options = wanted ? *wanted : (vault_options){0};
  if (options.arena_bytes == 0) options.arena_bytes = ARENA_BYTES;
  arena_room stacks[ARENA_STACKS];
  vault_result result = arena_open(options.arena_bytes, options.backend, stack_bytes_wanted, stacks);
  if (result != VAULT_OK) return result;
  is_claimed = 1;
  if (!CRYPTO_set_mem_functions(take_for_openssl, resize_for_openssl, give_for_openssl)) return VAULT_INTERNAL;
  stack_open(stacks);
  result = run_wide(open_on_stack, &options);
  if (result == VAULT_OK) result = agree_once();
  is_open = result == VAULT_OK;
  return result;
}

/* ---- how it is ---- */

static vault_result count_on_stack(void *argument) {
  vault_status *status = argument;
  slots_count(&status->slots_in_use, &status->slots_max, &status->key_pairs);
  return VAULT_OK;
}

void vault_get_status(vault_status *status) {
  *status = (vault_status){.dumpable = prctl(PR_GET_DUMPABLE)};
  struct rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) == 0) status->core_limit = limit.rlim_cur;
  strncpy(status->library, OpenSSL_version(OPENSSL_VERSION), sizeof status->library - 1);
  if (!is_open || arena_is_lost()) return;
  status->backend = arena_backend();
  status->hwrng = hwrng_mixed;
  arena_measure(&status->arena_bytes, &status->arena_used, &status->arena_peak);
  (void)run_small(count_on_stack, status);
}

const char *vault_word(vault_result result) {
  static const char *const words[] = {
      [VAULT_OK] = "ok",
      [VAULT_NO_MEMORY] = "full",
      [VAULT_FULL] = "full",
      [VAULT_NO_SUCH_SLOT] = "no-such-slot",
      [VAULT_EMPTY_SLOT] = "empty-slot",
      [VAULT_WRONG_USE] = "wrong-use",
      [VAULT_WRONG_LENGTH] = "wrong-length",
      [VAULT_COUNTER] = "counter",
      [VAULT_FORGED] = "forged",
      [VAULT_NO_KEY] = "no-key",
      [VAULT_BAD_KEY] = "bad-key",
      [VAULT_UNWRAP] = "unwrap",
      [VAULT_BAD_POINT] = "bad-point",
      [VAULT_BAD_ENCAPSULATION_KEY] = "bad-encapsulation-key",
      [VAULT_BAD_CIPHERTEXT] = "bad-ciphertext",
      [VAULT_NO_PROTECTION] = "no-protection",
      [VAULT_WRONG_LIBRARY] = "wrong-library",
      [VAULT_FILE] = "file",
      [VAULT_KEY_FILE_OPEN] = "key-file-open",
      [VAULT_EXHAUSTED] = "exhausted",
      [VAULT_BAD_DIGIT] = "bad-digit",
      [VAULT_SHORT_PIN] = "short-pin",
      [VAULT_BAD_PIN] = "bad-pin",
      [VAULT_SAME_PIN] = "same-pin",
      [VAULT_NO_DEVICE] = "no-device",
      [VAULT_OTHER_DEVICE] = "other-device",
      [VAULT_INTERNAL] = "internal",
  };
  return (size_t)result < sizeof words / sizeof *words ? words[result] : "internal";
}

/* ---- the end of secrets ---- */

static vault_result wipe_on_stack(void *argument) {
  return slots_wipe(*(vault_handle *)argument);
}

vault_result vault_wipe(vault_handle handle) {
  return run_small(wipe_on_stack, &handle);
}

static vault_result wipe_all_on_stack(void *argument) {
  (void)argument;
  slots_wipe_all();
  return VAULT_OK;
}

void vault_wipe_all(void) {
  (void)run_small(wipe_all_on_stack, NULL);
}

/* ---- for our other addons ---- */

const vault_table *vault_get_table(void) {
  static const vault_table table = {
      .version = VAULT_TABLE_VERSION,
      .bytes = sizeof(vault_table),
      .srtp_seal = vault_srtp_seal,
      .srtp_open = vault_srtp_open,
      .seal = vault_seal,
      .open = vault_open_sealed,
      .wipe = vault_wipe,
  };
  return &table;
}
