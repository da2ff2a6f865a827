/*
 * A key file is changed, and then loaded: it is refused, or it is the key it was.
 *
 *     bytes | where: text or DER | change | change | ..       change = kind | place 2 | value
 *
 *     good key file --changes to its bytes-----------------> file --vault_load_key_pair--> key, or a refusal
 *                   '--base64--> DER --changes--> base64-----^
 *
 * The DER is fuzzed inside its base64, which hardly any change to the text would leave whole. Nothing is kept of a file
 * that was refused: no block of the arena, no open file, no slot.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "changes.h"

enum { LINE = 64 };

static content good_text, good_der, changed;
static uint8_t good_spki[VAULT_SPKI_BYTES];
static char path[] = "feldfon-fuzz-XXXXXX";
static size_t baseline;
static int files_at_rest;

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BEGIN_LINE[] = "-----BEGIN PRIVATE KEY-----\n", END_LINE[] = "-----END PRIVATE KEY-----\n";

/* ---- base64 ---- */

static void decode(const content *text, content *der) {
  uint32_t bits = 0, kept = 0;
  der->length = 0;
  for (size_t at = sizeof BEGIN_LINE - 1; text->bytes[at] != '-' && text->bytes[at] != '='; at++) {
    const char *digit = strchr(BASE64, text->bytes[at]);
    if (!digit || text->bytes[at] == 0) continue;
    bits = bits << 6 | (uint32_t)(digit - BASE64);
    kept += 6;
    if (kept < 8) continue;
    kept -= 8;
    der->bytes[der->length++] = (uint8_t)(bits >> kept);
  }
}

static void put_text(content *to, const char *text) {
  memcpy(to->bytes + to->length, text, strlen(text));
  to->length += strlen(text);
}

static void encode(const content *der, content *text) {
  text->length = 0;
  put_text(text, BEGIN_LINE);
  for (size_t at = 0; at < der->length; at += 3) {
    uint32_t bits = 0;
    for (size_t byte = 0; byte < 3; byte++) bits = bits << 8 | (at + byte < der->length ? der->bytes[at + byte] : 0u);
    for (size_t digit = 0; digit < 4; digit++) {
      int is_there = at + digit <= der->length;
      text->bytes[text->length++] = (uint8_t)(is_there ? BASE64[bits >> (18 - 6 * digit) & 63] : '=');
    }
    if (at % (LINE / 4 * 3) == LINE / 4 * 3 - 3) text->bytes[text->length++] = '\n';
  }
  text->bytes[text->length++] = '\n';
  put_text(text, END_LINE);
}

/* ---- loading ---- */

static void load(void) {
  vault_handle pair;
  uint8_t spki[VAULT_SPKI_BYTES];
  vault_result result = vault_load_key_pair(path, &pair, spki);
  if (result == VAULT_OK) {
    MUST(pair != 0 && memcmp(spki, good_spki, sizeof spki) == 0);
    MUST(vault_wipe(pair) == VAULT_OK);
  } else {
    MUST(pair == 0 && result == VAULT_BAD_KEY);
  }
  vault_status status;
  vault_get_status(&status);
  MUST(status.key_pairs == 0 && status.arena_used <= baseline + KEPT_FOR_ERRORS);
  MUST(open_files() <= files_at_rest + FILES_OF_FUZZER);
}

static void remove_file(void) {
  (void)unlink(path);
}

static void prepare(void) {
  vault_handle pair;
  MUST(vault_open(&(vault_options){.slots_max = 16}) == VAULT_OK);
  read_file(good_key_file(), &good_text);
  decode(&good_text, &good_der);
  MUST(mkstemp(path) >= 0 && chmod(path, 0600) == 0);
  atexit(remove_file);
  for (int twice = 0; twice < 2; twice++) { /* what OpenSSL makes once is made */
    encode(&good_der, &changed);
    write_file(path, &changed);
    MUST(vault_load_key_pair(path, &pair, good_spki) == VAULT_OK);
    MUST(vault_wipe(pair) == VAULT_OK);
  }
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
  if (next_byte(&input) % 4 == 0) {
    changed = good_text;
    change_all(&changed, &input);
  } else {
    static content der;
    der = good_der;
    change_all(&der, &input);
    if (der.length > FILE_BYTES_MOST / 4 * 2) der.length = FILE_BYTES_MOST / 4 * 2;
    encode(&der, &changed);
  }
  write_file(path, &changed);
  load();
  return 0;
}
