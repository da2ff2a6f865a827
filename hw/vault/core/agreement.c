/*
 * Key agreement: X25519 (RFC 7748) and ML-KEM-768 (FIPS 203). An ephemeral is good for one use, whatever comes of it.
 *
 *     ephemeral --public key--> peer                agree       (own X25519, peer's public key)  --> secret
 *               <--public key or ciphertext--       decapsulate (own ML-KEM, ciphertext)         --> secret
 *                                                   encapsulate (peer's ML-KEM key)              --> secret, ciphertext
 */
#include <openssl/evp.h>
#include <string.h>

#include "seal.h"
#include "slots.h"
#include "stack.h"

enum { SHARED_BYTES = 32 };

static const char *const NAMES[] = {[VAULT_X25519] = "X25519", [VAULT_ML_KEM_768] = "ML-KEM-768"};
static const size_t PUBLIC_BYTES[] = {
    [VAULT_X25519] = VAULT_X25519_BYTES, [VAULT_ML_KEM_768] = VAULT_ENCAPSULATION_KEY_BYTES};

typedef struct agreement_call {
  vault_algorithm algorithm;
  vault_handle handle; /* of the own ephemeral */
  vault_bytes peer;    /* public key, encapsulation key or ciphertext */
  vault_handle *made;
  uint8_t *out;        /* public key or ciphertext */
} agreement_call;

static vault_result make_on_stack(void *argument) {
  agreement_call *call = argument;
  vault_result result = slots_room(KIND_EPHEMERAL, 1);
  if (result != VAULT_OK) return result;
  EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, NAMES[call->algorithm]);
  size_t bytes = PUBLIC_BYTES[call->algorithm];
  if (!pkey || !EVP_PKEY_get_raw_public_key(pkey, call->out, &bytes)) {
    EVP_PKEY_free(pkey);
    return failed(VAULT_INTERNAL);
  }
  return slots_put_pkey(KIND_EPHEMERAL, (uint8_t)call->algorithm, pkey, call->made);
}

vault_result vault_make_ephemeral(vault_algorithm algorithm, vault_handle *ephemeral, uint8_t *public_key) {
  *ephemeral = 0;
  if (algorithm != VAULT_X25519 && algorithm != VAULT_ML_KEM_768) return VAULT_WRONG_USE;
  agreement_call call = {.algorithm = algorithm, .made = ephemeral, .out = public_key};
  return run_wide(make_on_stack, &call);
}

/* Takes the key out of its slot, which is empty from now on. */
static vault_result use_up(vault_handle handle, vault_algorithm algorithm, EVP_PKEY **pkey) {
  struct slot *slot;
  vault_result result = slots_find(handle, KIND_EPHEMERAL, &slot);
  if (result != VAULT_OK) return result;
  if (slot->use != algorithm) return VAULT_WRONG_USE;
  *pkey = slot->pkey;
  slot->pkey = NULL;
  slots_drop(slot);
  return VAULT_OK;
}

/* `made` says whether the 32 bytes have come; `otherwise` what it means when they have not. */
static vault_result put_shared(struct secret *shared, int made, vault_result otherwise, vault_handle *handle) {
  if (made) return slots_put_secret(VAULT_DERIVE, shared, handle);
  secret_free(shared);
  return failed(otherwise);
}

static int x25519(EVP_PKEY *own, vault_bytes peer, uint8_t shared[SHARED_BYTES]) {
  EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer.at, peer.length);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
  size_t bytes = SHARED_BYTES;
  int made = theirs && context && EVP_PKEY_derive_init(context) > 0 &&
             EVP_PKEY_derive_set_peer_ex(context, theirs, 0) > 0 &&
             EVP_PKEY_derive(context, shared, &bytes) > 0; /* fails when all are zero (RFC 7748 6.1) */
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(theirs);
  return made && bytes == SHARED_BYTES;
}

static vault_result agree_on_stack(void *argument) {
  agreement_call *call = argument;
  EVP_PKEY *own;
  vault_result result = use_up(call->handle, VAULT_X25519, &own);
  if (result != VAULT_OK) return result;
  struct secret *shared = secret_new(SHARED_BYTES);
  int made = shared && call->peer.length == VAULT_X25519_BYTES && x25519(own, call->peer, shared->bytes);
  EVP_PKEY_free(own);
  return put_shared(shared, made, VAULT_BAD_POINT, call->made);
}

vault_result vault_agree(vault_handle ephemeral, vault_bytes peer, vault_handle *secret) {
  *secret = 0;
  agreement_call call = {.handle = ephemeral, .peer = peer, .made = secret};
  return run_wide(agree_on_stack, &call);
}

/* Of a right length every ciphertext has a secret (FIPS 203 7.3). */
static int ml_kem_decapsulate(EVP_PKEY *own, vault_bytes ciphertext, uint8_t shared[SHARED_BYTES]) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
  size_t bytes = SHARED_BYTES;
  int made = context && EVP_PKEY_decapsulate_init(context, NULL) > 0 &&
             EVP_PKEY_decapsulate(context, shared, &bytes, ciphertext.at, ciphertext.length) > 0;
  EVP_PKEY_CTX_free(context);
  return made && bytes == SHARED_BYTES;
}

static vault_result decapsulate_on_stack(void *argument) {
  agreement_call *call = argument;
  EVP_PKEY *own;
  vault_result result = use_up(call->handle, VAULT_ML_KEM_768, &own);
  if (result != VAULT_OK) return result;
  int fits = call->peer.length == VAULT_CIPHERTEXT_BYTES;
  struct secret *shared = secret_new(SHARED_BYTES);
  int made = shared && fits && ml_kem_decapsulate(own, call->peer, shared->bytes);
  EVP_PKEY_free(own);
  return put_shared(shared, made, fits ? VAULT_INTERNAL : VAULT_BAD_CIPHERTEXT, call->made);
}

vault_result vault_decapsulate(vault_handle ephemeral, vault_bytes ciphertext, vault_handle *secret) {
  *secret = 0;
  agreement_call call = {.handle = ephemeral, .peer = ciphertext, .made = secret};
  return run_wide(decapsulate_on_stack, &call);
}

static int ml_kem_encapsulate(EVP_PKEY *peer, uint8_t *ciphertext, uint8_t shared[SHARED_BYTES]) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
  size_t bytes = SHARED_BYTES, ciphertext_bytes = VAULT_CIPHERTEXT_BYTES;
  int made = context && EVP_PKEY_encapsulate_init(context, NULL) > 0 &&
             EVP_PKEY_encapsulate(context, ciphertext, &ciphertext_bytes, shared, &bytes) > 0;
  EVP_PKEY_CTX_free(context);
  return made && bytes == SHARED_BYTES && ciphertext_bytes == VAULT_CIPHERTEXT_BYTES;
}

static vault_result encapsulate_on_stack(void *argument) {
  agreement_call *call = argument;
  vault_result result = slots_room(KIND_SECRET, 1);
  if (result != VAULT_OK) return result;
  if (call->peer.length != VAULT_ENCAPSULATION_KEY_BYTES) return VAULT_BAD_ENCAPSULATION_KEY;
  /* Reading checks every coefficient (FIPS 203 7.2). */
  EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "ML-KEM-768", NULL, call->peer.at, call->peer.length);
  if (!peer) return failed(VAULT_BAD_ENCAPSULATION_KEY);
  struct secret *shared = secret_new(SHARED_BYTES);
  int made = shared && ml_kem_encapsulate(peer, call->out, shared->bytes);
  EVP_PKEY_free(peer);
  return put_shared(shared, made, VAULT_INTERNAL, call->made);
}

vault_result vault_encapsulate(vault_bytes encapsulation_key, uint8_t ciphertext[VAULT_CIPHERTEXT_BYTES],
                               vault_handle *secret) {
  *secret = 0;
  agreement_call call = {.peer = encapsulation_key, .made = secret, .out = ciphertext};
  return run_wide(encapsulate_on_stack, &call);
}
