/*
 * From secret to secret, and from secret to proof.
 *
 *     HMAC(key, m)       = SHA-256(key XOR 5c.. | SHA-256(key XOR 36.. | m))
 *     HKDF: pseudorandom = HMAC(salt, slot | slot | ..)
 *           T(n)         = HMAC(pseudorandom, T(n - 1) | info | n);   out = T(1) | T(2) | ..
 *
 * On OpenSSL's SHA-256 directly: its state lies on the secret stack, so nothing is allocated and nothing is kept.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "derive.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "seal.h"
#include "slots.h"
#include "stack.h"

enum { SHA256_BLOCK_BYTES = 64, MATERIALS_MOST = 64 };

typedef struct hmac_state {
  SHA256_CTX inner;
  SHA256_CTX outer;
} hmac_state;

void sha256(vault_bytes bytes, uint8_t hash[VAULT_MAC_BYTES]) {
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, bytes.at, bytes.length);
  SHA256_Final(hash, &state);
}

static void hmac_begin(hmac_state *state, vault_bytes key) {
  uint8_t pad[SHA256_BLOCK_BYTES] = {0};
  if (key.length > sizeof pad) {
    sha256(key, pad);
  } else if (key.length > 0) {
    memcpy(pad, key.at, key.length);
  }
  for (size_t at = 0; at < sizeof pad; at++) pad[at] ^= 0x36;
  SHA256_Init(&state->inner);
  SHA256_Update(&state->inner, pad, sizeof pad);
  for (size_t at = 0; at < sizeof pad; at++) pad[at] ^= 0x36 ^ 0x5c;
  SHA256_Init(&state->outer);
  SHA256_Update(&state->outer, pad, sizeof pad);
}

static void hmac_add(hmac_state *state, vault_bytes bytes) {
  if (bytes.length > 0) SHA256_Update(&state->inner, bytes.at, bytes.length);
}

static void hmac_end(hmac_state *state, uint8_t mac[VAULT_MAC_BYTES]) {
  uint8_t digest[VAULT_MAC_BYTES];
  SHA256_Final(digest, &state->inner);
  SHA256_Update(&state->outer, digest, sizeof digest);
  SHA256_Final(mac, &state->outer);
}

void hmac(vault_bytes key, vault_bytes message, uint8_t mac[VAULT_MAC_BYTES]) {
  hmac_state state;
  hmac_begin(&state, key);
  hmac_add(&state, message);
  hmac_end(&state, mac);
}

void hkdf(const vault_bytes *parts, size_t count, vault_bytes salt, vault_bytes info, uint8_t *out, size_t length) {
  uint8_t pseudorandom[VAULT_MAC_BYTES];
  hmac_state state;
  hmac_begin(&state, salt);
  for (size_t at = 0; at < count; at++) hmac_add(&state, parts[at]);
  hmac_end(&state, pseudorandom);

  hmac_state keyed;
  hmac_begin(&keyed, (vault_bytes){pseudorandom, sizeof pseudorandom});
  uint8_t last[VAULT_MAC_BYTES];
  uint8_t number = 1;
  for (size_t done = 0; done < length; number++) {
    state = keyed;
    if (number > 1) hmac_add(&state, (vault_bytes){last, sizeof last});
    hmac_add(&state, info);
    hmac_add(&state, (vault_bytes){&number, 1});
    hmac_end(&state, last);
    size_t part = length - done < sizeof last ? length - done : sizeof last;
    memcpy(out + done, last, part);
    done += part;
  }
}

/* ---- slot to slot ---- */

typedef struct derive_call {
  vault_use use;
  size_t length;
  const vault_handle *material;
  size_t materials;
  vault_bytes salt;
  vault_bytes info;
  vault_handle *derived;
} derive_call;

static int is_sealing(vault_use use) {
  return use >= VAULT_STREAM_SEAL && use <= VAULT_PACKET_OPEN;
}

static vault_result derive_on_stack(void *argument) {
  derive_call *call = argument;
  vault_bytes parts[MATERIALS_MOST];
  for (size_t at = 0; at < call->materials; at++) {
    struct slot *slot;
    vault_result result = slots_find_secret(call->material[at], VAULT_DERIVE, 0, &slot);
    if (result != VAULT_OK) return result;
    parts[at] = (vault_bytes){slot->secret->bytes, slot->secret->length};
  }
  vault_result result = slots_room(KIND_SECRET, 1);
  if (result != VAULT_OK) return result;
  if (is_sealing(call->use) && call->length != VAULT_STREAM_KEY_BYTES) return VAULT_WRONG_LENGTH;
  struct secret *derived = secret_new(call->length);
  if (!derived) return VAULT_NO_MEMORY;
  hkdf(parts, call->materials, call->salt, call->info, derived->bytes, call->length);
  return slots_put_secret(call->use, derived, call->derived);
}

vault_result vault_derive(vault_use use, size_t length, const vault_handle *material, size_t materials,
                          vault_bytes salt, vault_bytes info, vault_handle *derived) {
  *derived = 0;
  if ((use != VAULT_DERIVE && use != VAULT_MAC && !is_sealing(use)) || materials == 0) return VAULT_WRONG_USE;
  if (length < 1 || length > VAULT_DERIVE_BYTES_MAX || materials > MATERIALS_MOST) return VAULT_WRONG_LENGTH;
  derive_call call = {use, length, material, materials, salt, info, derived};
  return run_small(derive_on_stack, &call);
}

typedef struct rekey_call {
  vault_handle stream;
  vault_bytes salt;
  vault_bytes info;
} rekey_call;

static vault_result rekey_on_stack(void *argument) {
  rekey_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find_secret(call->stream, VAULT_STREAM_SEAL, VAULT_STREAM_OPEN, &slot);
  if (result != VAULT_OK) return result;
  struct secret *secret = slot->secret;
  uint8_t next[VAULT_STREAM_KEY_BYTES];
  hkdf(&(vault_bytes){secret->bytes, secret->length}, 1, call->salt, call->info, next, sizeof next);
  memcpy(secret->bytes, next, sizeof next);
  secret_changed(secret);
  return VAULT_OK;
}

vault_result vault_rekey(vault_handle stream, vault_bytes salt, vault_bytes info) {
  rekey_call call = {stream, salt, info};
  return run_small(rekey_on_stack, &call);
}

/* ---- message authentication ---- */

typedef struct mac_call {
  vault_handle slot;
  vault_bytes message;
  vault_bytes tag;
  uint8_t *mac; /* or NULL, and then the tag is compared */
  int *holds;
} mac_call;

static vault_result mac_on_stack(void *argument) {
  mac_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find_secret(call->slot, VAULT_MAC, 0, &slot);
  if (result != VAULT_OK) return result;
  uint8_t mac[VAULT_MAC_BYTES];
  hmac((vault_bytes){slot->secret->bytes, slot->secret->length}, call->message, mac);
  if (call->mac) {
    memcpy(call->mac, mac, sizeof mac);
  } else {
    *call->holds = call->tag.length >= VAULT_MAC_BYTES_LEAST && call->tag.length <= VAULT_MAC_BYTES &&
                   CRYPTO_memcmp(mac, call->tag.at, call->tag.length) == 0;
  }
  return VAULT_OK;
}

vault_result vault_mac(vault_handle slot, vault_bytes message, uint8_t mac[VAULT_MAC_BYTES]) {
  mac_call call = {.slot = slot, .message = message, .mac = mac};
  return run_small(mac_on_stack, &call);
}

vault_result vault_mac_matches(vault_handle slot, vault_bytes message, vault_bytes tag, int *holds) {
  *holds = 0;
  mac_call call = {.slot = slot, .message = message, .tag = tag, .holds = holds};
  return run_small(mac_on_stack, &call);
}
