/*
 * A sealed key file is changed, and then opened with some PIN: it is refused, or it is the key it was.
 *
 *     bytes | how | PIN | change | change | ..       how: 1 the hash is made to fit again, 2 another PIN, 4 duress
 *
 *     sealed file --changes--> hash made to fit? --vault_load_sealed, vault_set_duress_pin--> key, or a refusal
 *
 * Whatever comes of it, the PIN is used up. What Argon2id costs is kept small: the header may ask for a gibibyte.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "changes.h"
#include "derive.h"

enum { FILE_BYTES = 5240, HASH_AT = 5208, MEMORY_AT = 8, PASSES_AT = 12, MEMORY_KIB = 8, PASSES = 1, DIGITS = 12 };
enum { HASH_FITS = 1, OTHER_PIN = 2, DURESS = 4 };

static const char PIN[] = "480173480173";
static content good, changed;
static uint8_t good_spki[VAULT_SPKI_BYTES];
static char path[] = "feldfon-fuzz-XXXXXX", device_path[] = "feldfon-fuzz-XXXXXX";
static vault_device device = {.kind = VAULT_OTP, .words = {(const uint8_t *)device_path, sizeof device_path}};
static size_t baseline;
static int files_at_rest;

static vault_handle typed(const char *digits, size_t count) {
  vault_handle pin;
  uint32_t there;
  MUST(vault_new_pin(&pin) == VAULT_OK);
  for (size_t at = 0; at < count; at++) MUST(vault_pin_push(pin, (uint32_t)(digits[at] - '0'), &there) == VAULT_OK);
  return pin;
}

/* At most what is cheap, in a header that asks for what is allowed. */
static void make_cheap(content *file) {
  static const uint8_t cheap[8] = {0, 0, 0, 16, 0, 0, 0, 2};
  if (file->length < PASSES_AT + 4) return;
  uint8_t *memory = file->bytes + MEMORY_AT, *passes = file->bytes + PASSES_AT;
  if (memory[0] | memory[1] | memory[2] || memory[3] > 16) memcpy(memory, cheap, 4);
  if (passes[0] | passes[1] | passes[2] || passes[3] > 2) memcpy(passes, cheap + 4, 4);
}

static void load(fuzz_input *input) {
  char digits[DIGITS];
  uint8_t how = next_byte(input), count = next_byte(input) % (DIGITS + 1);
  memcpy(digits, PIN, sizeof digits);
  if (how & OTHER_PIN) {
    for (uint8_t at = 0; at < count; at++) digits[at] = (char)('0' + next_byte(input) % 10);
  } else {
    count = DIGITS;
  }
  changed = good;
  change_all(&changed, input);
  if (how & HASH_FITS) {
    make_cheap(&changed);
    if (changed.length == FILE_BYTES) sha256((vault_bytes){changed.bytes, HASH_AT}, changed.bytes + HASH_AT);
  }
  write_file(path, &changed);

  vault_handle pin = typed(digits, count), pair = 0;
  uint8_t spki[VAULT_SPKI_BYTES];
  uint32_t there;
  vault_result result = how & DURESS ? vault_set_duress_pin(pin, path, &device)
                                     : vault_load_sealed(pin, path, &device, &pair, spki);
  MUST(vault_pin_digits(pin, &there) == VAULT_EMPTY_SLOT);
  if (result == VAULT_OK && !(how & DURESS)) {
    MUST(pair != 0 && count == DIGITS && memcmp(digits, PIN, DIGITS) == 0 && memcmp(spki, good_spki, sizeof spki) == 0);
    MUST(vault_wipe(pair) == VAULT_OK);
    return;
  }
  MUST(pair == 0);
  MUST(result == VAULT_OK || result == VAULT_BAD_KEY || result == VAULT_BAD_PIN || result == VAULT_SHORT_PIN ||
       result == VAULT_OTHER_DEVICE || result == VAULT_SAME_PIN);
}

static void remove_files(void) {
  (void)unlink(path);
  (void)unlink(device_path);
}

static void prepare(void) {
  vault_handle pair;
  content secret = {.bytes = "0123456789abcdef0123456789abcdef", .length = 32};
  MUST(vault_open(&(vault_options){.slots_max = 16}) == VAULT_OK);
  MUST(mkstemp(path) >= 0 && mkstemp(device_path) >= 0 && chmod(device_path, 0600) == 0);
  atexit(remove_files);
  write_file(device_path, &secret);
  MUST(vault_load_key_pair(good_key_file(), &pair, good_spki) == VAULT_OK);
  for (int twice = 0; twice < 2; twice++) { /* what OpenSSL makes once is made */
    vault_handle again;
    MUST(vault_save_sealed(typed(PIN, DIGITS), pair, path, &device, MEMORY_KIB, PASSES) == VAULT_OK);
    MUST(vault_load_sealed(typed(PIN, DIGITS), path, &device, &again, good_spki) == VAULT_OK);
    MUST(vault_wipe(again) == VAULT_OK);
  }
  MUST(vault_wipe(pair) == VAULT_OK);
  read_file(path, &good);
  MUST(good.length == FILE_BYTES);
  baseline = arena_used();
  files_at_rest = open_files();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int is_open;
  if (!is_open) {
    prepare();
    is_open = 1;
  }
  fuzz_input input = {data, size};
  load(&input);
  vault_status status;
  vault_get_status(&status);
  MUST(status.slots_in_use == 0 && status.key_pairs == 0 && status.arena_used <= baseline + KEPT_FOR_ERRORS);
  MUST(open_files() <= files_at_rest + FILES_OF_FUZZER);
  return 0;
}
