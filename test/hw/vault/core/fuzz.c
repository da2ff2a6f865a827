/*
 * Bytes become a sequence of calls; beside the vault runs a small model of what must come of them.
 *
 *     bytes | call 1 | which handle 1 | number 1 | ...          model: uses and counters of 32 handles, alive or wiped
 *
 *     core-fuzz FILE..             each file once (a corpus, or what has failed)
 *     core-fuzz SECONDS SEED       random sequences; a sequence that fails is left in fuzz-failed.bin
 *     with clang: -fsanitize=fuzzer -DLIBFUZZER
 *
 * The arena is small, so that it is full now and then: "full" is right at any time, everything else only as modelled.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vault_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HANDLES = 32, TEXT_BYTES = 300, ARENA_BYTES = 1024 * 1024, SLOTS = 24 };
enum { NEVER, SECRET, X25519, KEM };

typedef struct model {
  vault_handle handle;
  int kind;
  int is_wiped;
  vault_use use;
  uint64_t next;
  int is_voice;
} model;

static model handles[HANDLES];
static const uint8_t *input;
static size_t left;
static uint8_t text[TEXT_BYTES], out[2048], kem_key[VAULT_ENCAPSULATION_KEY_BYTES];
static uint8_t ciphertext[VAULT_CIPHERTEXT_BYTES];
static size_t out_length;

#define MUST(condition)                                                           \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);             \
      abort();                                                                    \
    }                                                                             \
  } while (0)

static uint8_t next_byte(void) {
  if (left == 0) return 0;
  left--;
  return *input++;
}

static int is_full(vault_result result) {
  return result == VAULT_FULL || result == VAULT_NO_MEMORY;
}

/* What every call on a slot has to say before it looks further; VAULT_OK: it may go on. */
static vault_result expected(const model *at, unsigned uses, int wants_voice) {
  if (at->kind != SECRET) return VAULT_NO_SUCH_SLOT;
  if (at->is_wiped) return VAULT_EMPTY_SLOT;
  if (!(uses & 1u << at->use) || at->is_voice != wants_voice) return VAULT_WRONG_USE;
  return VAULT_OK;
}

/* True when the call was refused as it had to be, or the vault was full. */
static int settled(vault_result result, vault_result wanted) {
  if (is_full(result)) return 1;
  if (wanted == VAULT_OK) return 0;
  MUST(result == wanted);
  return 1;
}

static void born(vault_handle handle, int kind, vault_use use) {
  MUST(handle != 0);
  for (int at = 0; at < HANDLES; at++) MUST(handles[at].handle != handle);
  model *place = &handles[next_byte() % HANDLES];
  if (place->kind != NEVER && !place->is_wiped) MUST(vault_wipe(place->handle) == VAULT_OK);
  *place = (model){.handle = handle, .kind = kind, .use = use};
}

static void new_secret(void) {
  vault_handle wrap, derive;
  vault_result result = vault_new_secret(&wrap, &derive);
  if (is_full(result)) return;
  MUST(result == VAULT_OK);
  born(wrap, SECRET, VAULT_WRAP);
  born(derive, SECRET, VAULT_DERIVE);
}

static void derive(model *from) {
  vault_use use = (vault_use)(next_byte() % 9);
  size_t length = next_byte() % 4 == 0 ? (size_t)next_byte() * 40 : VAULT_STREAM_KEY_BYTES;
  vault_handle made;
  vault_result result = vault_derive(use, length, &from->handle, 1, (vault_bytes){text, next_byte()},
                                     (vault_bytes){text, next_byte()}, &made);
  int is_sealing = use >= VAULT_STREAM_SEAL && use <= VAULT_PACKET_OPEN;
  if (use < VAULT_DERIVE || use >= VAULT_WRAP) MUST(result == VAULT_WRONG_USE);
  else if (length == 0 || length > VAULT_DERIVE_BYTES_MAX) MUST(result == VAULT_WRONG_LENGTH);
  else if (!settled(result, expected(from, 1 << VAULT_DERIVE, 0))) {
    MUST(result == (is_sealing && length != VAULT_STREAM_KEY_BYTES ? VAULT_WRONG_LENGTH : VAULT_OK));
    if (result == VAULT_OK) born(made, SECRET, use);
  } else {
    MUST(made == 0);
  }
}

static void seal(model *slot) {
  uint64_t counter = slot->next + next_byte() % 3;
  size_t length = next_byte();
  vault_bytes aad = {text, next_byte()};
  vault_result result = vault_seal(slot->handle, counter, aad, (vault_bytes){text, length}, out);
  if (settled(result, expected(slot, 1 << VAULT_STREAM_SEAL | 1 << VAULT_PACKET_SEAL, 0))) {
    if (is_full(result)) slot->next = counter + 1; /* the counter moves first */
    return;
  }
  int is_lawful = slot->use == VAULT_PACKET_SEAL || counter == slot->next;
  MUST(result == (is_lawful ? VAULT_OK : VAULT_COUNTER));
  if (!is_lawful) return;
  slot->next = counter + 1;
  out_length = length + VAULT_TAG_BYTES;
}

static void open_sealed(model *slot) {
  uint8_t clear[2048];
  uint64_t counter = slot->next + next_byte() % 3;
  vault_result result = vault_open_sealed(slot->handle, counter, (vault_bytes){text, next_byte()},
                                          (vault_bytes){out, out_length}, clear);
  if (settled(result, expected(slot, 1 << VAULT_STREAM_OPEN | 1 << VAULT_PACKET_OPEN, 0))) return;
  int is_lawful = slot->use == VAULT_PACKET_OPEN || counter == slot->next;
  MUST(is_lawful ? result == VAULT_OK || result == VAULT_FORGED : result == VAULT_COUNTER);
  if (result == VAULT_OK) slot->next = counter + 1;
}

static void rekey(model *slot) {
  vault_result result = vault_rekey(slot->handle, (vault_bytes){text, next_byte()}, (vault_bytes){text, 3});
  if (!settled(result, expected(slot, 1 << VAULT_STREAM_SEAL | 1 << VAULT_STREAM_OPEN, 0))) MUST(result == VAULT_OK);
}

static void mac(model *slot) {
  int holds;
  vault_bytes message = {text, next_byte()};
  vault_result result = vault_mac(slot->handle, message, out);
  if (settled(result, expected(slot, 1 << VAULT_MAC, 0))) return;
  size_t length = next_byte() % 40;
  MUST(vault_mac_matches(slot->handle, message, (vault_bytes){out, length}, &holds) == VAULT_OK);
  MUST(holds == (length >= VAULT_MAC_BYTES_LEAST && length <= VAULT_MAC_BYTES));
}

static void make_ephemeral(void) {
  vault_handle made;
  int is_kem = next_byte() % 2;
  vault_result result = vault_make_ephemeral(is_kem ? VAULT_ML_KEM_768 : VAULT_X25519, &made, out);
  if (is_full(result)) return;
  MUST(result == VAULT_OK);
  if (is_kem) memcpy(kem_key, out, sizeof kem_key);
  born(made, is_kem ? KEM : X25519, 0);
}

/* Both ways to use an ephemeral up; the peer's bytes are as good or bad as they come. */
static void use_up(model *own, int kind) {
  vault_handle secret;
  size_t length = next_byte() % 8 == 0 ? next_byte() : kind == KEM ? VAULT_CIPHERTEXT_BYTES : VAULT_X25519_BYTES;
  vault_result result = kind == KEM ? vault_decapsulate(own->handle, (vault_bytes){ciphertext, length}, &secret)
                                    : vault_agree(own->handle, (vault_bytes){text, length}, &secret);
  if (own->kind == NEVER || own->kind == SECRET) MUST(result == VAULT_NO_SUCH_SLOT);
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
  kem_key[next_byte() % sizeof kem_key] ^= next_byte() & 1;
  vault_result result = vault_encapsulate((vault_bytes){kem_key, sizeof kem_key}, ciphertext, &secret);
  MUST(result == VAULT_OK || is_full(result) || result == VAULT_BAD_ENCAPSULATION_KEY);
  if (result == VAULT_OK) born(secret, SECRET, VAULT_DERIVE);
}

static void wrap(model *slot) {
  static const uint8_t head[33] = {0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48,
                                   0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x02,
                                   0x0f, 0x00, 0x30, 0x82, 0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00};
  static const uint8_t tail[5] = {0x02, 0x03, 0x01, 0x00, 0x01};
  uint8_t spki[VAULT_SPKI_BYTES];
  memcpy(spki, head, sizeof head);
  memset(spki + sizeof head, 0xff, VAULT_SPKI_BYTES - sizeof head);
  memcpy(spki + VAULT_SPKI_BYTES - sizeof tail, tail, sizeof tail);
  spki[289] = next_byte() % 4; /* four keys of which some are kept */
  if (next_byte() % 4 == 0) spki[next_byte()] ^= next_byte();
  vault_bytes label = {text, next_byte()};
  vault_result result = vault_wrap((vault_bytes){spki, sizeof spki}, label, slot->handle, out);
  if (!settled(result, expected(slot, 1 << VAULT_WRAP, 0))) MUST(result == VAULT_OK || result == VAULT_BAD_KEY);
}

static void begin_voice(model *slot) {
  vault_media_profile profile = {.ssrc = 7, .ratchet_salt = {text, next_byte()}, .ratchet_info = {text, next_byte()}};
  int is_sender = next_byte() % 2;
  vault_testing_media_start((uint64_t)next_byte() << (next_byte() % 41));
  vault_use use = is_sender ? VAULT_PACKET_SEAL : VAULT_PACKET_OPEN;
  vault_result result = (is_sender ? vault_srtp_sender : vault_srtp_receiver)(slot->handle, &profile);
  if (settled(result, expected(slot, 1u << use, 0))) return;
  MUST(result == (slot->next > 0 ? VAULT_WRONG_USE : VAULT_OK));
  if (result == VAULT_OK) slot->is_voice = 1;
}

static void speak(model *slot) {
  size_t length = next_byte();
  vault_result result = vault_srtp_seal(slot->handle, (vault_bytes){text, length}, next_byte(), out);
  if (settled(result, expected(slot, 1 << VAULT_PACKET_SEAL, 1))) return;
  MUST(length == 0 ? result == VAULT_WRONG_LENGTH : result == VAULT_OK || result == VAULT_EXHAUSTED);
  if (result == VAULT_OK) out_length = length + 28;
}

static void listen(model *slot) {
  uint8_t payload[2048];
  vault_refusal refusal;
  uint64_t index;
  uint32_t timestamp;
  if (next_byte() % 2) { /* a packet that looks right */
    uint8_t header[12] = {0x80, 96, next_byte(), next_byte(), 0, 0, 0, 0, 0, 0, 0, 7};
    memcpy(out, header, sizeof header);
    out_length = 29u + next_byte();
  }
  vault_result result =
      vault_srtp_open(slot->handle, (vault_bytes){out, out_length}, &refusal, &index, &timestamp, payload);
  if (settled(result, expected(slot, 1 << VAULT_PACKET_OPEN, 1))) return;
  MUST(result == VAULT_OK && refusal <= VAULT_PACKET_FORGED);
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
  model *place = &handles[next_byte() % HANDLES];
  if (place->kind != NEVER && !place->is_wiped) MUST(vault_wipe(place->handle) == VAULT_OK);
  vault_handle strange = place->handle | 0xfffff00000000000u;
  switch (next_byte() % 3) {
    case 0: strange = place->handle | 0x80000000u; break;
    case 1: strange = (place->handle & ~(15ull << 32)) | 9ull << 32; break;
  }
  *place = (model){.handle = strange, .kind = NEVER};
  MUST(vault_wipe(strange) == VAULT_NO_SUCH_SLOT);
}

static void one_call(void) {
  uint8_t call = next_byte();
  model *which = &handles[next_byte() % HANDLES];
  switch (call % 20) {
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
    case 19: if (next_byte() == 0) wipe_all(); break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int is_open;
  if (!is_open) {
    MUST(vault_open(&(vault_options){.arena_bytes = ARENA_BYTES, .slots_max = SLOTS}) == VAULT_OK);
    for (size_t at = 0; at < sizeof text; at++) text[at] = (uint8_t)(at * 7 + 9);
    is_open = 1;
  }
  input = data;
  left = size;
  memset(handles, 0, sizeof handles);
  out_length = 0;
  while (left > 0) one_call();
  for (int at = 0; at < HANDLES; at++) {
    if (handles[at].kind != NEVER) MUST(vault_wipe(handles[at].handle) == VAULT_OK);
  }
  vault_status status;
  vault_get_status(&status);
  MUST(status.slots_in_use == 0);
  return 0;
}

#ifndef LIBFUZZER

static uint8_t sequence[4096];
static size_t sequence_length;

static void keep_sequence(int signal_number) {
  FILE *file = fopen("fuzz-failed.bin", "wb");
  if (file) {
    fwrite(sequence, 1, sequence_length, file);
    fclose(file);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

static void run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  MUST(file);
  sequence_length = fread(sequence, 1, sizeof sequence, file);
  fclose(file);
  (void)LLVMFuzzerTestOneInput(sequence, sequence_length);
}

static void run_random(int seconds, unsigned seed) {
  srand(seed);
  time_t end = time(NULL) + seconds;
  long sequences = 0;
  for (; time(NULL) < end; sequences++) {
    sequence_length = (size_t)(rand() % (int)sizeof sequence);
    for (size_t at = 0; at < sequence_length; at++) sequence[at] = (uint8_t)(rand() >> 8);
    (void)LLVMFuzzerTestOneInput(sequence, sequence_length);
  }
  printf("%ld sequences\n", sequences);
}

int main(int count, char **arguments) {
  signal(SIGABRT, keep_sequence);
  char *end = NULL;
  long seconds = count == 3 ? strtol(arguments[1], &end, 10) : 0;
  if (end && *end == 0) run_random((int)seconds, (unsigned)strtoul(arguments[2], NULL, 10));
  else for (int at = 1; at < count; at++) run_file(arguments[at]);
  return 0;
}

#endif
