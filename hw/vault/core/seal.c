/*
 * AES-256-GCM with a tag of 16 bytes behind the ciphertext (NIST SP 800-38D).
 *
 *     slot     | key 32 | iv 12 |      nonce = iv XOR (0^4 | u64 counter)
 *
 *     kept     places for ciphers that have their key already; key number mod places. Expanding a key costs as much
 *              as sealing a packet, and a cipher takes a kilobyte: so a few are kept, not one for each slot.
 */
#include "seal.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "slots.h"
#include "stack.h"

enum { KEPT_LEAST = 16, KEPT_MOST = 16384, ARENA_BYTES_PER_KEPT = 16 * 1024 };

static const uint64_t COUNTER_MOST = ((uint64_t)1 << 53) - 1; /* what a JavaScript number counts exactly */

typedef struct kept {
  uint64_t key;
  EVP_CIPHER_CTX *cipher;
} kept;

static kept *ciphers;
static uint64_t places;
static uint64_t last_key;
static EVP_CIPHER *aes_256_gcm;

vault_result failed(vault_result otherwise) {
  ERR_clear_error();
  return arena_has_refused() ? VAULT_NO_MEMORY : otherwise;
}

vault_result seal_open_ciphers(size_t arena_bytes) {
  places = arena_bytes / ARENA_BYTES_PER_KEPT;
  if (places < KEPT_LEAST) places = KEPT_LEAST;
  if (places > KEPT_MOST) places = KEPT_MOST;
  ciphers = calloc(places, sizeof *ciphers); /* names and places of ciphers, no secrets */
  aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  return ciphers && aes_256_gcm ? VAULT_OK : failed(VAULT_INTERNAL);
}

uint64_t seal_next_key(void) {
  return ++last_key;
}

static void forget(kept *place) {
  EVP_CIPHER_CTX_free(place->cipher);
  *place = (kept){0};
}

void seal_forget(uint64_t key) {
  kept *place = &ciphers[key % places];
  if (place->key == key) forget(place);
}

/* A cipher that has this key and nonce. NULL: OpenSSL failed. */
static EVP_CIPHER_CTX *cipher_for(uint64_t key, const uint8_t *bytes, const uint8_t *nonce, int sealing) {
  kept *place = &ciphers[key % places];
  if (place->key == key) {
    if (EVP_CipherInit_ex2(place->cipher, NULL, NULL, nonce, sealing, NULL)) return place->cipher;
    forget(place);
    return NULL;
  }
  int is_new = !place->cipher;
  if (is_new) place->cipher = EVP_CIPHER_CTX_new();
  if (!place->cipher) return NULL;
  place->key = key;
  if (EVP_CipherInit_ex2(place->cipher, is_new ? aes_256_gcm : NULL, bytes, nonce, sealing, NULL)) return place->cipher;
  forget(place);
  return NULL;
}

static int feed(EVP_CIPHER_CTX *cipher, uint8_t *out, vault_bytes in) {
  int written;
  return in.length == 0 || EVP_CipherUpdate(cipher, out, &written, in.at, (int)in.length);
}

/* As EVP_CTRL_AEAD_GET_TAG, at a third of the price. */
static int take_tag(EVP_CIPHER_CTX *cipher, uint8_t tag[VAULT_TAG_BYTES]) {
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, VAULT_TAG_BYTES),
      OSSL_PARAM_construct_end(),
  };
  return EVP_CIPHER_CTX_get_params(cipher, params);
}

static int fits(vault_bytes aad, vault_bytes text) {
  return aad.length <= INT_MAX - VAULT_TAG_BYTES && text.length <= INT_MAX - VAULT_TAG_BYTES;
}

vault_result gcm_seal(uint64_t key, const uint8_t bytes[GCM_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
                      vault_bytes aad, vault_bytes clear, uint8_t *out) {
  if (!fits(aad, clear)) return VAULT_WRONG_LENGTH;
  EVP_CIPHER_CTX *cipher = cipher_for(key, bytes, nonce, 1);
  if (!cipher) return failed(VAULT_INTERNAL);
  int written;
  int sealed = feed(cipher, NULL, aad) && feed(cipher, out, clear) &&
               EVP_CipherFinal_ex(cipher, out + clear.length, &written) &&
               take_tag(cipher, out + clear.length);
  return sealed ? VAULT_OK : failed(VAULT_INTERNAL);
}

vault_result gcm_open(uint64_t key, const uint8_t bytes[GCM_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
                      vault_bytes aad, vault_bytes sealed, uint8_t *out) {
  if (sealed.length < VAULT_TAG_BYTES) return VAULT_FORGED;
  if (!fits(aad, sealed)) return VAULT_WRONG_LENGTH;
  vault_bytes ciphertext = {sealed.at, sealed.length - VAULT_TAG_BYTES};
  uint8_t tag[VAULT_TAG_BYTES]; /* first: out may be the same place as sealed */
  memcpy(tag, sealed.at + ciphertext.length, sizeof tag);
  EVP_CIPHER_CTX *cipher = cipher_for(key, bytes, nonce, 0);
  if (!cipher) return failed(VAULT_INTERNAL);
  int written;
  uint8_t nothing[1];
  int opened = EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, VAULT_TAG_BYTES, tag) == 1 &&
               feed(cipher, NULL, aad) && feed(cipher, out, ciphertext) &&
               EVP_CipherFinal_ex(cipher, nothing, &written) > 0;
  if (opened) return VAULT_OK;
  if (ciphertext.length > 0) explicit_bzero(out, ciphertext.length);
  return failed(VAULT_FORGED);
}

/* ---- slots that seal ---- */

typedef struct seal_call {
  vault_handle handle;
  uint64_t counter;
  vault_bytes aad;
  vault_bytes text;
  uint8_t *out;
} seal_call;

/* A stream counts without gaps, a packet's counter only rises. */
static int is_lawful(const struct slot *slot, uint64_t counter) {
  if (counter > COUNTER_MOST) return 0;
  int is_stream = slot->use == VAULT_STREAM_SEAL || slot->use == VAULT_STREAM_OPEN;
  return is_stream ? counter == slot->counter : counter >= slot->counter;
}

static void make_nonce(const struct secret *secret, uint64_t counter, uint8_t nonce[GCM_NONCE_BYTES]) {
  memcpy(nonce, secret->bytes + GCM_KEY_BYTES, GCM_NONCE_BYTES);
  for (int at = 0; at < 8; at++) nonce[GCM_NONCE_BYTES - 1 - at] ^= (uint8_t)(counter >> 8 * at);
}

static vault_result seal_on_stack(void *argument) {
  seal_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find_secret(call->handle, VAULT_STREAM_SEAL, VAULT_PACKET_SEAL, &slot);
  if (result != VAULT_OK) return result;
  if (!is_lawful(slot, call->counter)) return VAULT_COUNTER;
  slot->counter = call->counter + 1; /* first, so that nothing below can lead to a second use of the nonce */
  uint8_t nonce[GCM_NONCE_BYTES];
  make_nonce(slot->secret, call->counter, nonce);
  return gcm_seal(slot->secret->key, slot->secret->bytes, nonce, call->aad, call->text, call->out);
}

vault_result vault_seal(vault_handle slot, uint64_t counter, vault_bytes aad, vault_bytes clear, uint8_t *out) {
  seal_call call = {slot, counter, aad, clear, out};
  return run_small(seal_on_stack, &call);
}

static vault_result open_on_stack(void *argument) {
  seal_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find_secret(call->handle, VAULT_STREAM_OPEN, VAULT_PACKET_OPEN, &slot);
  if (result != VAULT_OK) return result;
  if (!is_lawful(slot, call->counter)) return VAULT_COUNTER;
  uint8_t nonce[GCM_NONCE_BYTES];
  make_nonce(slot->secret, call->counter, nonce);
  result = gcm_open(slot->secret->key, slot->secret->bytes, nonce, call->aad, call->text, call->out);
  if (result == VAULT_OK) slot->counter = call->counter + 1;
  return result;
}

vault_result vault_open_sealed(vault_handle slot, uint64_t counter, vault_bytes aad, vault_bytes sealed, uint8_t *out) {
  seal_call call = {slot, counter, aad, sealed, out};
  return run_small(open_on_stack, &call);
}
