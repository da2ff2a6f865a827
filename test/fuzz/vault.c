/*
 * Bytes become a sequence of calls; beside the vault runs a small model of what must come of them.
 *
 *     bytes | call | which handle | numbers .. | call | ..       model: uses and counters of 32 handles, alive or wiped
 *
 * Handles are alive, wiped, forged, or of another kind; lengths go from nothing to more than there is; output may lie
 * where the input does. The arena is small and refuses now and then, so "full" is right at any time, everything else
 * only as modelled.
 *
 * After each call no output holds 16 bytes of a living secret; at the end of a sequence no slot is left, the arena is
 * as full as before, and now and then it is searched for the secrets that were wiped. Only vault_make_key_pair is never
 * let through to its end: it takes a second.
 */
#define _GNU_SOURCE /* memmem */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "arena.h"
#include "fuzz.h"

enum {
  HANDLES = 32,
  TEXT_BYTES = 32 * 1024,
  OUT_BYTES = TEXT_BYTES + 64,
  ARENA_BYTES = 1024 * 1024,
  SLOTS = 24,
  MATERIALS_MOST = 64,
  NEEDLE_BYTES = 16,
  RSA_MOST = 2, /* private operations of one sequence: each takes longer than all others together */
  SEARCH_EACH = 16
};
enum { NEVER, SECRET, PAIR, X25519, KEM };

typedef struct digits {
  uint8_t typed[VAULT_PIN_DIGITS_MOST];
  uint32_t count;
} digits;

typedef struct model {
  vault_handle handle;
  int kind;
  int is_wiped;
  vault_use use;
  uint64_t next;
  int is_voice;
  uint8_t needle[NEEDLE_BYTES]; /* the first bytes of a secret, as they were born */
  int has_needle;
  digits pin, kept_pin;
} model;

static model handles[HANDLES];
static fuzz_input input;
static uint8_t text[TEXT_BYTES], out[OUT_BYTES], kem_key[VAULT_ENCAPSULATION_KEY_BYTES];
static uint8_t ciphertext[VAULT_CIPHERTEXT_BYTES], wrapped[VAULT_WRAP_BYTES], pair_spki[VAULT_SPKI_BYTES];
static size_t out_length, baseline;
static int rsa_left;
static char folder[] = "feldfon-fuzz-XXXXXX", key_path[64];

static uint8_t byte(void) {
  return next_byte(&input);
}

/* Short ones mostly; up to TEXT_BYTES. */
static size_t some_length(void) {
  uint8_t number = byte();
  if (number < 208) return number;
  return number < 240 ? (number - 207u) * 64 : (number - 239u) * 2048;
}

/* Now and then more than there is: for calls that have to look at the length before the bytes. */
static size_t any_length(void) {
  static const size_t huge[] = {INT_MAX - 15, INT_MAX, (size_t)INT_MAX + 1, UINT32_MAX, SIZE_MAX - 15, SIZE_MAX};
  uint8_t number = byte();
  return number < 6 ? huge[number] : some_length();
}

static int is_too_long(size_t length) {
  return length > INT_MAX - VAULT_TAG_BYTES;
}

static vault_bytes some_text(void) {
  return (vault_bytes){text, some_length()};
}

static int is_full(vault_result result) {
  return result == VAULT_FULL || result == VAULT_NO_MEMORY;
}

/* ---- the oracle ---- */

/* What every call on a slot has to say before it looks further; VAULT_OK: it may go on. */
static vault_result expected(const model *at, unsigned uses, int wants_voice) {
  if (at->kind != SECRET) return VAULT_NO_SUCH_SLOT;
  if (at->is_wiped) return VAULT_EMPTY_SLOT;
  if (!(uses & 1u << at->use) || at->is_voice != wants_voice) return VAULT_WRONG_USE;
  return VAULT_OK;
}

static vault_result expected_pair(const model *at) {
  if (at->kind != PAIR) return VAULT_NO_SUCH_SLOT;
  return at->is_wiped ? VAULT_EMPTY_SLOT : VAULT_OK;
}

/* True when the call was refused as it had to be, or the vault was full. */
static int settled(vault_result result, vault_result wanted) {
  if (is_full(result)) return 1;
  if (wanted == VAULT_OK) return 0;
  MUST(result == wanted);
  return 1;
}

static void learn(model *slot) {
  static uint8_t secret[65536];
  size_t length = sizeof secret;
  if (slot->kind != SECRET || slot->use == VAULT_PIN) return;
  MUST(vault_testing_reveal(slot->handle, secret, &length) == VAULT_OK);
  slot->has_needle = length >= NEEDLE_BYTES;
  if (slot->has_needle) memcpy(slot->needle, secret, NEEDLE_BYTES);
}

/* What came out of a call shows nothing of what is kept. */
static void keeps_secrets(const uint8_t *bytes, size_t length) {
  for (int at = 0; at < HANDLES; at++) {
    if (handles[at].has_needle) MUST(!memmem(bytes, length, handles[at].needle, NEEDLE_BYTES));
  }
}

/* By the first two bytes, as 32 needles at each of a million places would take too long. */
__attribute__((no_sanitize("address"))) static void search_arena(void) {
  static uint8_t begins[65536];
  arena_room whole = arena_whole();
  for (int at = 0; at < HANDLES; at++) {
    if (handles[at].has_needle) begins[handles[at].needle[0] << 8 | handles[at].needle[1]] = 1;
  }
  /* The stacks have guards between them; the heap is the last part, and the longest. */
  const uint8_t *end = whole.bottom + whole.bytes - NEEDLE_BYTES;
  for (const uint8_t *at = end - ARENA_BYTES / 2; at < end; at++) {
    if (!begins[at[0] << 8 | at[1]]) continue;
    for (int slot = 0; slot < HANDLES; slot++) {
      int same = 0;
      while (same < NEEDLE_BYTES && at[same] == handles[slot].needle[same]) same++;
      MUST(same < NEEDLE_BYTES || !handles[slot].has_needle);
    }
  }
  memset(begins, 0, sizeof begins);
}

static void born(vault_handle handle, int kind, vault_use use) {
  MUST(handle != 0);
  for (int at = 0; at < HANDLES; at++) MUST(handles[at].handle != handle);
  model *place = &handles[byte() % HANDLES];
  if (place->kind != NEVER && !place->is_wiped) MUST(vault_wipe(place->handle) == VAULT_OK);
  *place = (model){.handle = handle, .kind = kind, .use = use};
  learn(place);
}

/* ---- slots ---- */

static void new_secret(void) {
  vault_handle wrap, derive;
  vault_result result = vault_new_secret(&wrap, &derive);
  if (is_full(result)) {
    MUST(wrap == 0 && derive == 0);
    return;
  }
  MUST(result == VAULT_OK);
  born(wrap, SECRET, VAULT_WRAP);
  born(derive, SECRET, VAULT_DERIVE);
}

/* One to three slots; now and then none, or more than are taken. */
static size_t some_material(vault_handle material[MATERIALS_MOST + 1], model *from, vault_result *wanted) {
  uint8_t number = byte();
  size_t count = number < 4 ? (number < 2 ? 0 : MATERIALS_MOST + 1) : 1u + number % 3;
  *wanted = VAULT_OK;
  for (size_t at = 0; at < count; at++) {
    const model *slot = at == 0 || count > 3 ? from : &handles[byte() % HANDLES];
    material[at] = slot->handle;
    if (*wanted == VAULT_OK) *wanted = expected(slot, 1 << VAULT_DERIVE, 0);
  }
  return count;
}

static void derive(model *from) {
  vault_use use = (vault_use)(byte() % 9);
  size_t length = byte() % 4 == 0 ? (size_t)byte() * 40 : VAULT_STREAM_KEY_BYTES;
  vault_handle material[MATERIALS_MOST + 1], made;
  vault_result wanted;
  size_t count = some_material(material, from, &wanted);
  vault_result result = vault_derive(use, length, material, count, some_text(), some_text(), &made);
  int is_sealing = use >= VAULT_STREAM_SEAL && use <= VAULT_PACKET_OPEN;
  if (result != VAULT_OK) MUST(made == 0);
  if (use < VAULT_DERIVE || use >= VAULT_WRAP || count == 0) MUST(result == VAULT_WRONG_USE);
  else if (length == 0 || length > VAULT_DERIVE_BYTES_MAX || count > MATERIALS_MOST) MUST(result == VAULT_WRONG_LENGTH);
  else if (!settled(result, wanted)) {
    MUST(result == (is_sealing && length != VAULT_STREAM_KEY_BYTES ? VAULT_WRONG_LENGTH : VAULT_OK));
    if (result == VAULT_OK) born(made, SECRET, use);
  }
}

static void rekey(model *slot) {
  vault_result result = vault_rekey(slot->handle, some_text(), (vault_bytes){text, 3});
  if (settled(result, expected(slot, 1 << VAULT_STREAM_SEAL | 1 << VAULT_STREAM_OPEN, 0))) return;
  MUST(result == VAULT_OK);
  learn(slot);
}

static void mac(model *slot) {
  int holds;
  vault_bytes message = some_text();
  vault_result result = vault_mac(slot->handle, message, out);
  if (settled(result, expected(slot, 1 << VAULT_MAC, 0))) return;
  MUST(result == VAULT_OK);
  keeps_secrets(out, VAULT_MAC_BYTES);
  size_t length = any_length();
  int is_changed = byte() % 4 == 0;
  if (is_changed) out[byte() % VAULT_MAC_BYTES_LEAST] ^= 1;
  MUST(vault_mac_matches(slot->handle, message, (vault_bytes){out, length}, &holds) == VAULT_OK);
  MUST(holds == (length >= VAULT_MAC_BYTES_LEAST && length <= VAULT_MAC_BYTES && !is_changed));
}

static void wipe(model *any) {
  vault_result result = vault_wipe(any->handle);
  MUST(result == (any->kind == NEVER && any->handle != 0 ? VAULT_NO_SUCH_SLOT : VAULT_OK));
  any->is_wiped = 1;
}

static void wipe_all(void) {
  vault_wipe_all();
  for (int at = 0; at < HANDLES; at++) handles[at].is_wiped = 1;
}

/* A handle that nobody has given out: of a generation, an index or a kind that is not there. */
static void forge(void) {
  model *place = &handles[byte() % HANDLES];
  if (place->kind != NEVER && !place->is_wiped) MUST(vault_wipe(place->handle) == VAULT_OK);
  vault_handle strange = place->handle | 0xfffff00000000000u;
  switch (byte() % 3) {
    case 0: strange = place->handle | 0x80000000u; break;
    case 1: strange = (place->handle & ~(15ull << 32)) | 9ull << 32; break;
  }
  *place = (model){.handle = strange, .kind = NEVER};
  MUST(vault_wipe(strange) == VAULT_NO_SUCH_SLOT);
}

/* ---- sealing ---- */

/* The text, or what came out last, which then lies where the result will lie. */
static vault_bytes in_place(size_t length, int is_aliased) {
  if (is_aliased && length <= TEXT_BYTES) memcpy(out, text, length);
  return (vault_bytes){is_aliased ? out : text, length};
}

static int may_follow(const model *slot, vault_use of_packets, uint64_t counter) {
  return counter < 1ull << 53 && (slot->use == of_packets ? counter >= slot->next : counter == slot->next);
}

static void seal(model *slot) {
  uint64_t counter = byte() % 16 == 0 ? UINT64_MAX >> byte() % 16 : slot->next + byte() % 3;
  size_t length = any_length();
  vault_bytes clear = in_place(length, byte() % 2), aad = {text, any_length()};
  vault_result result = vault_seal(slot->handle, counter, aad, clear, out);
  if (settled(result, expected(slot, 1 << VAULT_STREAM_SEAL | 1 << VAULT_PACKET_SEAL, 0))) {
    if (is_full(result)) slot->next = counter + 1; /* the counter moves first */
    return;
  }
  int is_lawful = may_follow(slot, VAULT_PACKET_SEAL, counter);
  if (!is_lawful) {
    MUST(result == VAULT_COUNTER);
    return;
  }
  slot->next = counter + 1;
  MUST(result == (is_too_long(length) || is_too_long(aad.length) ? VAULT_WRONG_LENGTH : VAULT_OK));
  if (result != VAULT_OK) return;
  out_length = length + VAULT_TAG_BYTES;
  keeps_secrets(out, out_length);
}

static void open_sealed(model *slot) {
  static uint8_t clear[OUT_BYTES];
  uint64_t counter = byte() % 16 == 0 ? UINT64_MAX >> byte() % 16 : slot->next + byte() % 3;
  size_t length = byte() % 8 == 0 ? any_length() : out_length;
  vault_bytes aad = {text, any_length()};
  uint8_t *to = byte() % 2 ? out : clear;
  memset(clear, 0x5a, sizeof clear);
  vault_result result = vault_open_sealed(slot->handle, counter, aad, (vault_bytes){out, length}, to);
  if (settled(result, expected(slot, 1 << VAULT_STREAM_OPEN | 1 << VAULT_PACKET_OPEN, 0))) return;
  int is_lawful = may_follow(slot, VAULT_PACKET_OPEN, counter);
  if (!is_lawful) MUST(result == VAULT_COUNTER);
  else if (length < VAULT_TAG_BYTES) MUST(result == VAULT_FORGED);
  else if (is_too_long(length) || is_too_long(aad.length)) MUST(result == VAULT_WRONG_LENGTH);
  else MUST(result == VAULT_OK || result == VAULT_FORGED);
  if (result == VAULT_OK) slot->next = counter + 1;
  if (result == VAULT_OK || !is_lawful || is_too_long(length)) return;
  for (size_t at = 0; at + VAULT_TAG_BYTES < length && !is_too_long(aad.length); at++) MUST(to[at] == 0);
}

/* ---- key agreement ---- */

static void make_ephemeral(void) {
  vault_handle made;
  int is_kem = byte() % 2;
  vault_result result = vault_make_ephemeral(is_kem ? VAULT_ML_KEM_768 : VAULT_X25519, &made, out);
  if (is_full(result)) return;
  MUST(result == VAULT_OK);
  keeps_secrets(out, is_kem ? VAULT_ENCAPSULATION_KEY_BYTES : VAULT_X25519_BYTES);
  if (is_kem) memcpy(kem_key, out, sizeof kem_key);
  born(made, is_kem ? KEM : X25519, 0);
}

/* Both ways to use an ephemeral up; the peer's bytes are as good or bad as they come. */
static void use_up(model *own, int kind) {
  vault_handle secret;
  size_t length = byte() % 8 == 0 ? any_length() : kind == KEM ? VAULT_CIPHERTEXT_BYTES : VAULT_X25519_BYTES;
  vault_result result = kind == KEM ? vault_decapsulate(own->handle, (vault_bytes){ciphertext, length}, &secret)
                                    : vault_agree(own->handle, (vault_bytes){text, length}, &secret);
  if (own->kind != KEM && own->kind != X25519) MUST(result == VAULT_NO_SUCH_SLOT);
  else if (own->is_wiped) MUST(result == VAULT_EMPTY_SLOT);
  else if (own->kind != kind) MUST(result == VAULT_WRONG_USE);
  else {
    own->is_wiped = 1;
    MUST(is_full(result) || result == VAULT_OK || result == (kind == KEM ? VAULT_BAD_CIPHERTEXT : VAULT_BAD_POINT));
    if (result == VAULT_OK) born(secret, SECRET, VAULT_DERIVE);
  }
}

static void encapsulate(void) {
  vault_handle secret;
  size_t length = byte() % 8 == 0 ? any_length() : sizeof kem_key;
  kem_key[byte() * 5 % sizeof kem_key] ^= byte() & 1;
  vault_result result = vault_encapsulate((vault_bytes){kem_key, length}, ciphertext, &secret);
  MUST(result == VAULT_OK || is_full(result) || result == VAULT_BAD_ENCAPSULATION_KEY);
  if (result != VAULT_OK) return;
  MUST(length == sizeof kem_key);
  keeps_secrets(ciphertext, sizeof ciphertext);
  born(secret, SECRET, VAULT_DERIVE);
}

/* ---- RSA ---- */

/* Key n of those that are kept as public keys are: 16 places. */
static void make_spki(uint8_t spki[VAULT_SPKI_BYTES], uint8_t n) {
  static const uint8_t head[33] = {0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48,
                                   0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x02,
                                   0x0f, 0x00, 0x30, 0x82, 0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00};
  static const uint8_t tail[5] = {0x02, 0x03, 0x01, 0x00, 0x01};
  memset(spki, 0xff, VAULT_SPKI_BYTES);
  memcpy(spki, head, sizeof head);
  memcpy(spki + VAULT_SPKI_BYTES - sizeof tail, tail, sizeof tail);
  spki[289] = n;
}

static void verify(const uint8_t spki[VAULT_SPKI_BYTES], vault_bytes message, int expected_holds) {
  int holds = 2;
  vault_bytes signature = {out, VAULT_SIGNATURE_BYTES};
  vault_result result = vault_verify((vault_bytes){spki, VAULT_SPKI_BYTES}, message, signature, &holds);
  MUST(result == VAULT_NO_MEMORY ? !holds : result == VAULT_OK && holds == expected_holds);
}

static void wrap(model *slot) {
  uint8_t spki[VAULT_SPKI_BYTES];
  uint8_t which = byte();
  make_spki(spki, which % 32);
  if (which >= 192) memcpy(spki, pair_spki, sizeof spki);
  if (byte() % 4 == 0) spki[next_word(&input) % sizeof spki] ^= byte();
  size_t length = byte() % 16 == 0 ? any_length() : sizeof spki;
  vault_result result = vault_wrap((vault_bytes){spki, length}, some_text(), slot->handle, out);
  if (settled(result, expected(slot, 1 << VAULT_WRAP, 0))) return;
  MUST(result == VAULT_OK || result == VAULT_BAD_KEY);
  if (result != VAULT_OK) return;
  keeps_secrets(out, VAULT_WRAP_BYTES);
  memcpy(wrapped, out, sizeof wrapped);
  verify(spki, (vault_bytes){wrapped, 8}, 0);
}

static int may_do_rsa(void) {
  return rsa_left-- > 0;
}

static void load(void) {
  const char *paths[] = {good_key_file(), key_path, "", "/", "/dev/null", "/nowhere/key"};
  vault_handle pair;
  uint8_t spki[VAULT_SPKI_BYTES], which = byte() % 8;
  if (which < 2 || which > 5 ? !may_do_rsa() : 0) return;
  vault_result result = vault_load_key_pair(paths[which > 5 ? 0 : which], &pair, spki);
  if (result != VAULT_OK) MUST(pair == 0);
  if (is_full(result)) return;
  if (which == 1) MUST(result == VAULT_OK || result == VAULT_NO_KEY); /* as it was saved, or not yet */
  else if (which < 2 || which > 5) MUST(result == VAULT_OK);
  else MUST(result == VAULT_NO_KEY || result == VAULT_BAD_KEY || result == VAULT_KEY_FILE_OPEN);
  if (result != VAULT_OK) return;
  memcpy(pair_spki, spki, sizeof spki);
  born(pair, PAIR, 0);
}

static void save(model *pair) {
  const char *paths[] = {key_path, "/nowhere/key", "", folder};
  uint8_t which = byte() % 4;
  if (!may_do_rsa()) return;
  vault_result result = vault_save_key_pair(pair->handle, paths[which]);
  if (settled(result, expected_pair(pair))) return;
  MUST(result == (which == 0 ? VAULT_OK : VAULT_FILE));
}

static void sign(model *pair) {
  if (expected_pair(pair) == VAULT_OK && !may_do_rsa()) return;
  vault_bytes message = some_text();
  vault_result result = vault_sign(pair->handle, message, out);
  if (settled(result, expected_pair(pair))) return;
  MUST(result == VAULT_OK);
  keeps_secrets(out, VAULT_SIGNATURE_BYTES);
  verify(pair_spki, message, 1);
}

static void unwrap(model *pair) {
  vault_handle secret;
  if (expected_pair(pair) == VAULT_OK && !may_do_rsa()) return;
  wrapped[byte() * 2] ^= byte() & 1;
  size_t length = byte() % 8 == 0 ? any_length() : sizeof wrapped;
  vault_result result = vault_unwrap(pair->handle, some_text(), (vault_bytes){wrapped, length}, &secret);
  if (result != VAULT_OK) MUST(secret == 0);
  if (settled(result, expected_pair(pair))) return;
  MUST(result == VAULT_OK || result == VAULT_UNWRAP);
  if (result == VAULT_OK) born(secret, SECRET, VAULT_DERIVE);
}

/* Refused by the arena before it has looked for primes. */
static void make_pair(void) {
  vault_handle pair;
  uint8_t spki[VAULT_SPKI_BYTES];
  arena_refuse_after(byte() % 16);
  MUST(is_full(vault_make_key_pair(&pair, spki)) && pair == 0);
  arena_refuse_after(-1);
}

/* ---- PINs ---- */

static void new_pin(void) {
  vault_handle pin;
  vault_result result = vault_new_pin(&pin);
  if (is_full(result)) return;
  MUST(result == VAULT_OK);
  born(pin, SECRET, VAULT_PIN);
}

static void push_digit(model *pin) {
  uint32_t digit = byte(), count;
  vault_result result = vault_pin_push(pin->handle, digit, &count);
  if (digit > 9) {
    MUST(result == VAULT_BAD_DIGIT && count == 0);
    return;
  }
  if (settled(result, expected(pin, 1 << VAULT_PIN, 0))) return;
  if (pin->pin.count < VAULT_PIN_DIGITS_MOST) pin->pin.typed[pin->pin.count++] = (uint8_t)digit;
  MUST(result == VAULT_OK && count == pin->pin.count);
}

static void pop_digit(model *pin) {
  uint32_t count;
  vault_result result = vault_pin_pop(pin->handle, &count);
  if (settled(result, expected(pin, 1 << VAULT_PIN, 0))) return;
  if (pin->pin.count > 0) pin->pin.typed[--pin->pin.count] = 0;
  MUST(result == VAULT_OK && count == pin->pin.count);
  MUST(vault_pin_digits(pin->handle, &count) == VAULT_OK && count == pin->pin.count);
}

static void keep_pin(model *pin) {
  vault_result result = vault_pin_keep(pin->handle);
  if (settled(result, expected(pin, 1 << VAULT_PIN, 0))) return;
  MUST(result == VAULT_OK);
  pin->kept_pin = pin->pin;
  pin->pin = (digits){.count = 0};
}

static void match_pin(model *pin) {
  int matches;
  vault_result result = vault_pin_matches_kept(pin->handle, &matches);
  if (settled(result, expected(pin, 1 << VAULT_PIN, 0))) return;
  MUST(result == VAULT_OK);
  MUST(matches == (pin->kept_pin.count > 0 && memcmp(&pin->kept_pin, &pin->pin, sizeof pin->pin) == 0));
  pin->kept_pin = (digits){.count = 0};
  if (!matches) pin->pin = (digits){.count = 0};
}

/* ---- voice ---- */

static void begin_voice(model *slot) {
  vault_media_profile profile = {.ssrc = 7, .ratchet_salt = some_text(), .ratchet_info = some_text()};
  int is_sender = byte() % 2;
  vault_testing_media_start((uint64_t)byte() << (byte() % 41));
  vault_use use = is_sender ? VAULT_PACKET_SEAL : VAULT_PACKET_OPEN;
  vault_result result = (is_sender ? vault_srtp_sender : vault_srtp_receiver)(slot->handle, &profile);
  int is_long = profile.ratchet_salt.length > 256 || profile.ratchet_info.length > 256;
  if (is_long) MUST(result == VAULT_WRONG_LENGTH);
  if (is_long || settled(result, expected(slot, 1u << use, 0))) return;
  MUST(result == (slot->next > 0 ? VAULT_WRONG_USE : VAULT_OK));
  if (result == VAULT_OK) slot->is_voice = 1;
}

static void speak(model *slot) {
  size_t length = any_length();
  vault_result result = vault_srtp_seal(slot->handle, (vault_bytes){text, length}, byte(), out);
  if (!settled(result, expected(slot, 1 << VAULT_PACKET_SEAL, 1))) {
    vault_result wanted = length == 0 || is_too_long(length) ? VAULT_WRONG_LENGTH : VAULT_OK;
    MUST(result == wanted || (length > 0 && result == VAULT_EXHAUSTED));
    if (result == VAULT_OK) {
      out_length = length + 28;
      keeps_secrets(out, out_length);
    }
  }
  if (slot->kind == SECRET && !slot->is_wiped) learn(slot); /* the master may have turned */
}

static void listen(model *slot) {
  static uint8_t payload[OUT_BYTES];
  vault_refusal refusal;
  uint64_t index;
  uint32_t timestamp;
  if (byte() % 2) { /* a packet that looks right */
    uint8_t header[12] = {0x80, 96, byte(), byte(), 0, 0, 0, 0, 0, 0, 0, 7};
    memcpy(out, header, sizeof header);
    out_length = 29u + byte();
  }
  size_t length = byte() % 16 == 0 ? any_length() : out_length;
  vault_bytes packet = {out, length};
  vault_result result = vault_srtp_open(slot->handle, packet, &refusal, &index, &timestamp, payload);
  if (!settled(result, expected(slot, 1 << VAULT_PACKET_OPEN, 1))) {
    MUST(result == (is_too_long(length) ? result : VAULT_OK) && refusal <= VAULT_PACKET_FORGED);
  }
  if (slot->kind == SECRET && !slot->is_wiped) learn(slot);
}

/* ---- sequences ---- */

static void one_call(void) {
  uint8_t call = byte();
  model *which = &handles[byte() % HANDLES];
  switch (call % 31) {
    case 0: case 1: new_secret(); break;
    case 2: case 3: case 4: derive(which); break;
    case 5: seal(which); break;
    case 6: open_sealed(which); break;
    case 7: rekey(which); break;
    case 8: mac(which); break;
    case 9: make_ephemeral(); break;
    case 10: use_up(which, X25519); break;
    case 11: use_up(which, KEM); break;
    case 12: encapsulate(); break;
    case 13: wrap(which); break;
    case 14: begin_voice(which); break;
    case 15: speak(which); break;
    case 16: listen(which); break;
    case 17: wipe(which); break;
    case 18: forge(); break;
    case 19: if (byte() == 0) wipe_all(); break;
    case 20: arena_refuse_after(byte()); break;
    case 21: load(); break;
    case 22: save(which); break;
    case 23: sign(which); break;
    case 24: unwrap(which); break;
    case 25: make_pair(); break;
    case 26: new_pin(); break;
    case 27: push_digit(which); break;
    case 28: pop_digit(which); break;
    case 29: keep_pin(which); break;
    case 30: match_pin(which); break;
  }
}

static int files_in_folder(void) {
  int files = -2; /* . and .. */
  DIR *listing = opendir(folder);
  MUST(listing);
  while (readdir(listing)) files++;
  closedir(listing);
  return files;
}

static void remove_folder(void) {
  (void)unlink(key_path);
  (void)rmdir(folder);
}

/* What OpenSSL makes once is made, and every place for a public key is taken. */
static void warm_up(void) {
  vault_handle wrap, derive, pair, secret;
  uint8_t spki[VAULT_SPKI_BYTES];
  MUST(vault_new_secret(&wrap, &derive) == VAULT_OK);
  MUST(vault_load_key_pair(good_key_file(), &pair, pair_spki) == VAULT_OK);
  for (uint8_t n = 0; n < 32; n++) {
    make_spki(spki, n);
    MUST(vault_wrap((vault_bytes){spki, sizeof spki}, (vault_bytes){text, 3}, wrap, wrapped) == VAULT_OK);
  }
  MUST(vault_wrap((vault_bytes){pair_spki, sizeof spki}, (vault_bytes){text, 3}, wrap, wrapped) == VAULT_OK);
  MUST(vault_unwrap(pair, (vault_bytes){text, 3}, (vault_bytes){wrapped, sizeof wrapped}, &secret) == VAULT_OK);
  MUST(vault_sign(pair, (vault_bytes){text, 3}, out) == VAULT_OK);
  MUST(vault_save_key_pair(pair, key_path) == VAULT_OK);
  vault_wipe_all();
  (void)unlink(key_path);
}

static void prepare(void) {
  MUST(vault_open(&(vault_options){.arena_bytes = ARENA_BYTES, .slots_max = SLOTS}) == VAULT_OK);
  for (size_t at = 0; at < sizeof text; at++) text[at] = (uint8_t)(at * 7 + 9 + (at >> 8));
  MUST(mkdtemp(folder));
  snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
  atexit(remove_folder);
  warm_up();
  baseline = arena_used();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int is_open;
  static unsigned sequences;
  if (!is_open) {
    prepare();
    is_open = 1;
  }
  input = (fuzz_input){data, size};
  memset(handles, 0, sizeof handles);
  out_length = 0;
  rsa_left = RSA_MOST;
  while (input.left > 0) one_call();
  arena_refuse_after(-1);
  for (int at = 0; at < HANDLES; at++) {
    if (handles[at].kind != NEVER) MUST(vault_wipe(handles[at].handle) == VAULT_OK);
  }
  vault_status status;
  vault_get_status(&status);
  MUST(status.slots_in_use == 0 && status.key_pairs == 0);
  MUST(status.arena_used <= baseline + KEPT_FOR_ERRORS);
  if (++sequences % SEARCH_EACH == 0) search_arena();
  MUST(files_in_folder() == (access(key_path, F_OK) == 0));
  (void)unlink(key_path);
  return 0;
}
