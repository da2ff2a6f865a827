/*
 * A key file sealed under a PIN and the device's secret; the vault on node:crypto writes and reads the same bytes.
 *
 *     0       5       6    7     8      12     16   32         2620          5208      5240
 *     +-------+-------+----+-----+------+------+----+----------+-------------+---------+
 *     | FFKEY | 1     |kind|lanes|memory|passes|salt| key slot | duress slot | SHA-256 |
 *     +-------+-------+----+-----+------+------+----+----------+-------------+---------+
 *       magic  version      1     KiB                                         of all before
 *
 *     slot     | nonce 12 | AES-256-GCM 2,560 | tag 16 |     under the slot's KEK, with the 32 bytes of the header as AAD
 *     clear    | length, 2 bytes | PKCS#8 in DER | zeros |   length 0: what a duress PIN opens
 *     KEK      = HKDF-SHA-256(Argon2id(PIN, salt) 32 | device's secret, no salt, "feldfon/kek/v1 key" or ".. duress")
 *
 * Without a duress PIN its slot is random bytes. The SHA-256 tells damage from a wrong PIN; it protects nothing.
 *
 * Argon2id wants 64 MiB, which no arena has: while it runs, long blocks get memory of their own (arena_allow_long).
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

#include "arena.h"
#include "births.h"
#include "derive.h"
#include "device.h"
#include "pin.h"
#include "private-file.h"
#include "rsa.h"
#include "seal.h"
#include "slots.h"
#include "stack.h"

enum {
  VERSION = 1,
  LANES = 1,
  VERSION_AT = 5,
  KIND_AT = 6,
  LANES_AT = 7,
  MEMORY_AT = 8,
  PASSES_AT = 12,
  SALT_AT = 16,
  SALT_BYTES = 16,
  HEADER_BYTES = 32,
  LENGTH_BYTES = 2,
  CLEAR_BYTES = 2560,
  SLOT_BYTES = GCM_NONCE_BYTES + CLEAR_BYTES + VAULT_TAG_BYTES,
  KEY_SLOT_AT = HEADER_BYTES,
  DURESS_SLOT_AT = HEADER_BYTES + SLOT_BYTES,
  HASH_AT = HEADER_BYTES + 2 * SLOT_BYTES,
  HASH_BYTES = 32,
  FILE_BYTES = HASH_AT + HASH_BYTES,
  STRETCHED_BYTES = 32,
  /* More would be no file of ours, and could keep the handset busy for hours. */
  MEMORY_KIB_LEAST = 8,
  MEMORY_KIB_MOST = 1024 * 1024,
  PASSES_MOST = 16
};

static const uint8_t MAGIC[] = {'F', 'F', 'K', 'E', 'Y'};
static const vault_bytes NOTHING = {(const uint8_t *)"", 0};

typedef struct slot_name {
  size_t at;
  const char *info;
} slot_name;

static const slot_name KEY_SLOT = {KEY_SLOT_AT, "feldfon/kek/v1 key"};
static const slot_name DURESS_SLOT = {DURESS_SLOT_AT, "feldfon/kek/v1 duress"};

/* What one call needs, all of it on the secret stack but the file, which is no secret. */
typedef struct opening {
  uint8_t *file; /* a block of the arena, FILE_BYTES */
  pin_entry pin;
  uint8_t device[DEVICE_SECRET_BYTES_MOST];
  size_t device_bytes;
  uint8_t stretched[STRETCHED_BYTES];
  uint8_t clear[CLEAR_BYTES];
} opening;

typedef struct sealed_call {
  vault_handle pin;
  const char *path;
  const vault_device *device;
  /* load */
  uint64_t wipes;
  vault_handle *made;
  uint8_t *spki;
  /* save and change */
  vault_handle pair;
  EVP_PKEY *pkey;
  uint32_t memory_kib;
  uint32_t passes;
} sealed_call;

static uint32_t read_uint32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void write_uint32(uint8_t *at, uint32_t number) {
  for (int byte = 0; byte < 4; byte++) at[byte] = (uint8_t)(number >> (24 - 8 * byte));
}

/* ---- the file ---- */

static int is_lawful(const uint8_t *file) {
  uint32_t memory_kib = read_uint32(file + MEMORY_AT), passes = read_uint32(file + PASSES_AT);
  return file[VERSION_AT] == VERSION && file[LANES_AT] == LANES && memory_kib >= MEMORY_KIB_LEAST &&
         memory_kib <= MEMORY_KIB_MOST && passes >= 1 && passes <= PASSES_MOST;
}

static int is_whole(const uint8_t *file, size_t length) {
  uint8_t hash[HASH_BYTES];
  if (length != FILE_BYTES || memcmp(file, MAGIC, sizeof MAGIC) != 0) return 0;
  sha256((vault_bytes){file, HASH_AT}, hash);
  return memcmp(hash, file + HASH_AT, sizeof hash) == 0 && is_lawful(file);
}

static vault_result read_sealed(const sealed_call *call, opening *open) {
  size_t length;
  vault_result result = private_file_read(call->path, &open->file, &length);
  if (result != VAULT_OK) return result;
  if (!is_whole(open->file, length)) return VAULT_BAD_KEY;
  return open->file[KIND_AT] == call->device->kind ? VAULT_OK : VAULT_OTHER_DEVICE;
}

/* A new header, and random bytes for both slots. */
static vault_result begin_sealed(const sealed_call *call, opening *open) {
  uint8_t *file = open->file = arena_take(FILE_BYTES);
  if (!file) return VAULT_NO_MEMORY;
  if (RAND_bytes(file, HASH_AT) != 1) return failed(VAULT_INTERNAL);
  memcpy(file, MAGIC, sizeof MAGIC);
  file[VERSION_AT] = VERSION;
  file[KIND_AT] = call->device->kind;
  file[LANES_AT] = LANES;
  write_uint32(file + MEMORY_AT, call->memory_kib);
  write_uint32(file + PASSES_AT, call->passes);
  return is_lawful(file) ? VAULT_OK : VAULT_WRONG_LENGTH;
}

static vault_result write_sealed(const sealed_call *call, opening *open) {
  sha256((vault_bytes){open->file, HASH_AT}, open->file + HASH_AT);
  return private_file_write(call->path, (vault_bytes){open->file, FILE_BYTES}, call->pair);
}

/* ---- from digits to keys ---- */

static int argon2id(const opening *open, uint8_t out[STRETCHED_BYTES]) {
  uint32_t memory_kib = read_uint32(open->file + MEMORY_AT), passes = read_uint32(open->file + PASSES_AT);
  uint32_t lanes = LANES, threads = 1;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)open->pin.digits, open->pin.count),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, open->file + SALT_AT, SALT_BYTES),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST, &memory_kib),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &passes),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES, &lanes),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_THREADS, &threads),
      OSSL_PARAM_construct_end(),
  };
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "ARGON2ID", NULL);
  EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
  arena_allow_long(1);
  int done = context && EVP_KDF_derive(context, out, STRETCHED_BYTES, params) > 0;
  EVP_KDF_CTX_free(context); /* gives the work area back, wiped */
  arena_allow_long(0);
  EVP_KDF_free(kdf);
  return done;
}

/* PIN and device's secret become what both KEKs come from. */
static vault_result stretch(const sealed_call *call, opening *open) {
  vault_result result = device_read(call->device, open->device, &open->device_bytes);
  if (result != VAULT_OK) return result;
  if (!argon2id(open, open->stretched)) return failed(VAULT_INTERNAL);
  explicit_bzero(&open->pin, sizeof open->pin);
  tell_birth(open->stretched, sizeof open->stretched);
  tell_birth(open->device, open->device_bytes);
  return VAULT_OK;
}

static void make_kek(const opening *open, slot_name name, uint8_t kek[GCM_KEY_BYTES]) {
  vault_bytes parts[] = {{open->stretched, sizeof open->stretched}, {open->device, open->device_bytes}};
  hkdf(parts, 2, NOTHING, (vault_bytes){(const uint8_t *)name.info, strlen(name.info)}, kek, GCM_KEY_BYTES);
  tell_birth(kek, GCM_KEY_BYTES);
}

/* ---- slots of the file: ciphers are used under the vault's lock ---- */

typedef struct slot_call {
  opening *open;
  slot_name name;
} slot_call;

static vault_result seal_slot_on_stack(void *argument) {
  slot_call *call = argument;
  opening *open = call->open;
  uint8_t kek[GCM_KEY_BYTES];
  uint8_t *slot = open->file + call->name.at;
  make_kek(open, call->name, kek);
  if (RAND_bytes(slot, GCM_NONCE_BYTES) != 1) return failed(VAULT_INTERNAL);
  uint64_t key = seal_next_key();
  vault_result result = gcm_seal(key, kek, slot, (vault_bytes){open->file, HEADER_BYTES},
                                 (vault_bytes){open->clear, CLEAR_BYTES}, slot + GCM_NONCE_BYTES);
  seal_forget(key);
  return result;
}

static vault_result open_slot_on_stack(void *argument) {
  slot_call *call = argument;
  opening *open = call->open;
  uint8_t kek[GCM_KEY_BYTES];
  const uint8_t *slot = open->file + call->name.at;
  make_kek(open, call->name, kek);
  uint64_t key = seal_next_key();
  vault_result result = gcm_open(key, kek, slot, (vault_bytes){open->file, HEADER_BYTES},
                                 (vault_bytes){slot + GCM_NONCE_BYTES, CLEAR_BYTES + VAULT_TAG_BYTES}, open->clear);
  seal_forget(key);
  return result;
}

static vault_result seal_slot(opening *open, slot_name name) {
  return run_small(seal_slot_on_stack, &(slot_call){open, name});
}

/* VAULT_FORGED: these digits are not its PIN. */
static vault_result open_slot(opening *open, slot_name name) {
  return run_small(open_slot_on_stack, &(slot_call){open, name});
}

/* VAULT_SAME_PIN when these digits open the other slot. */
static vault_result refuse_same(opening *open, slot_name other) {
  vault_result result = open_slot(open, other);
  explicit_bzero(open->clear, sizeof open->clear);
  if (result == VAULT_FORGED) return VAULT_OK;
  return result == VAULT_OK ? VAULT_SAME_PIN : result;
}

/* ---- the key in it ---- */

static vault_result put_key(EVP_PKEY *pkey, uint8_t clear[CLEAR_BYTES]) {
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
  int length = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
  uint8_t *at = clear + LENGTH_BYTES;
  int fits = length > 0 && length <= CLEAR_BYTES - LENGTH_BYTES;
  if (fits) fits = i2d_PKCS8_PRIV_KEY_INFO(info, &at) == length;
  PKCS8_PRIV_KEY_INFO_free(info);
  if (!fits) return failed(VAULT_INTERNAL);
  clear[0] = (uint8_t)(length >> 8);
  clear[1] = (uint8_t)length;
  return VAULT_OK;
}

static vault_result take_key(const sealed_call *call, const uint8_t clear[CLEAR_BYTES]) {
  size_t length = (size_t)clear[0] << 8 | clear[1];
  if (length == 0) return VAULT_OK; /* under duress */
  if (length > CLEAR_BYTES - LENGTH_BYTES) return VAULT_BAD_KEY;
  EVP_PKEY *pkey = read_pkcs8((vault_bytes){clear + LENGTH_BYTES, length});
  return pkey ? put_key_pair(pkey, call->wipes, call->made, call->spki) : failed(VAULT_BAD_KEY);
}

/* ---- the calls ---- */

static vault_result load(const sealed_call *call, opening *open) {
  vault_result result = read_sealed(call, open);
  if (result == VAULT_OK) result = stretch(call, open);
  if (result == VAULT_OK) result = open_slot(open, KEY_SLOT);
  if (result == VAULT_FORGED) result = open_slot(open, DURESS_SLOT);
  if (result == VAULT_FORGED) return VAULT_BAD_PIN;
  return result == VAULT_OK ? take_key(call, open->clear) : result;
}

static vault_result save(const sealed_call *call, opening *open) {
  vault_result result = begin_sealed(call, open);
  if (result == VAULT_OK) result = stretch(call, open);
  if (result == VAULT_OK) result = put_key(call->pkey, open->clear);
  if (result == VAULT_OK) result = seal_slot(open, KEY_SLOT);
  return result == VAULT_OK ? write_sealed(call, open) : result;
}

static vault_result change(const sealed_call *call, opening *open) {
  vault_result result = read_sealed(call, open);
  if (result == VAULT_OK) result = stretch(call, open);
  if (result == VAULT_OK) result = refuse_same(open, DURESS_SLOT);
  if (result == VAULT_OK) result = put_key(call->pkey, open->clear);
  if (result == VAULT_OK) result = seal_slot(open, KEY_SLOT);
  return result == VAULT_OK ? write_sealed(call, open) : result;
}

static vault_result set_duress(const sealed_call *call, opening *open) {
  vault_result result = read_sealed(call, open);
  if (result == VAULT_OK) result = stretch(call, open);
  if (result == VAULT_OK) result = refuse_same(open, KEY_SLOT);
  if (result == VAULT_OK) result = seal_slot(open, DURESS_SLOT);
  return result == VAULT_OK ? write_sealed(call, open) : result;
}

static vault_result with_pin(sealed_call *call, vault_result (*run)(const sealed_call *, opening *)) {
  opening open = {.file = NULL};
  vault_result result = pin_use_up(call->pin, &open.pin);
  if (result == VAULT_OK) result = run(call, &open);
  int error_number = errno;
  arena_give(open.file);
  EVP_PKEY_free(call->pkey);
  errno = error_number;
  return result;
}

static vault_result load_on_stack(void *call) { return with_pin(call, load); }
static vault_result save_on_stack(void *call) { return with_pin(call, save); }
static vault_result change_on_stack(void *call) { return with_pin(call, change); }
static vault_result duress_on_stack(void *call) { return with_pin(call, set_duress); }

/* The PIN is used up also when it never comes to that. */
static vault_result refused(vault_handle pin, vault_result result) {
  (void)vault_wipe(pin);
  return result;
}

vault_result vault_load_sealed(vault_handle pin, const char *path, const vault_device *device, vault_handle *pair,
                               uint8_t spki[VAULT_SPKI_BYTES]) {
  *pair = 0;
  sealed_call call = {.pin = pin, .path = path, .device = device, .made = pair, .spki = spki};
  vault_result result = begin_key_pair(&call.wipes);
  return result == VAULT_OK ? run_long(load_on_stack, &call) : refused(pin, result);
}

vault_result vault_save_sealed(vault_handle pin, vault_handle pair, const char *path, const vault_device *device,
                               uint32_t memory_kib, uint32_t passes) {
  sealed_call call = {.pin = pin, .pair = pair, .path = path, .device = device};
  call.memory_kib = memory_kib;
  call.passes = passes;
  vault_result result = borrow_key_pair(pair, &call.pkey);
  return result == VAULT_OK ? run_long(save_on_stack, &call) : refused(pin, result);
}

vault_result vault_change_pin(vault_handle pin, vault_handle pair, const char *path, const vault_device *device) {
  sealed_call call = {.pin = pin, .pair = pair, .path = path, .device = device};
  vault_result result = borrow_key_pair(pair, &call.pkey);
  return result == VAULT_OK ? run_long(change_on_stack, &call) : refused(pin, result);
}

vault_result vault_set_duress_pin(vault_handle pin, const char *path, const vault_device *device) {
  sealed_call call = {.pin = pin, .path = path, .device = device};
  return run_long(duress_on_stack, &call);
}
