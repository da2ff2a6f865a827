/*
 * What only a test may do: bring known secrets and look at what is kept (vault_testing.h). Empty unless VAULT_TESTING
 * is defined, and the shipped build does not define it.
 */
#include "vault_testing.h"

#ifdef VAULT_TESTING

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "births.h"
#include "rsa.h"
#include "seal.h"
#include "slots.h"
#include "srtp.h"
#include "stack.h"

enum { ML_KEM_SEED_BYTES = 64, SECRET_BYTES_MOST = 65536 };

typedef struct import_call {
  vault_use use;
  vault_bytes bytes;
  vault_handle *made;
} import_call;

static vault_result import_on_stack(void *argument) {
  import_call *call = argument;
  struct secret *content = secret_new(call->bytes.length);
  if (!content) return VAULT_NO_MEMORY;
  if (call->bytes.length > 0) memcpy(content->bytes, call->bytes.at, call->bytes.length);
  return slots_put_secret(call->use, content, call->made);
}

vault_result vault_testing_import(vault_use use, vault_bytes bytes, vault_handle *slot) {
  *slot = 0;
  if (use < VAULT_DERIVE || use > VAULT_WRAP || bytes.length > SECRET_BYTES_MOST) return VAULT_WRONG_USE;
  if (use >= VAULT_STREAM_SEAL && use <= VAULT_PACKET_OPEN && bytes.length != VAULT_STREAM_KEY_BYTES) {
    return VAULT_WRONG_LENGTH;
  }
  import_call call = {use, bytes, slot};
  return run_small(import_on_stack, &call);
}

typedef struct reveal_call {
  vault_handle slot;
  uint8_t *out;
  size_t *length;
} reveal_call;

static vault_result reveal_on_stack(void *argument) {
  reveal_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find(call->slot, KIND_SECRET, &slot);
  if (result != VAULT_OK) return result;
  if (slot->secret->length > *call->length) return VAULT_WRONG_LENGTH;
  *call->length = slot->secret->length;
  memcpy(call->out, slot->secret->bytes, slot->secret->length);
  return VAULT_OK;
}

vault_result vault_testing_reveal(vault_handle slot, uint8_t *bytes, size_t *length) {
  reveal_call call = {slot, bytes, length};
  return run_small(reveal_on_stack, &call);
}

typedef struct ephemeral_call {
  vault_algorithm algorithm;
  vault_bytes bytes;
  vault_handle *made;
  uint8_t *public_key;
} ephemeral_call;

static EVP_PKEY *ml_kem_of(vault_bytes seed) {
  EVP_PKEY *pkey = NULL;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ML_KEM_SEED, (void *)(uintptr_t)seed.at, seed.length),
      OSSL_PARAM_construct_end(),
  };
  if (context && EVP_PKEY_fromdata_init(context) > 0) (void)EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params);
  EVP_PKEY_CTX_free(context);
  return pkey;
}

static vault_result ephemeral_on_stack(void *argument) {
  ephemeral_call *call = argument;
  int is_x25519 = call->algorithm == VAULT_X25519;
  if (call->bytes.length != (is_x25519 ? VAULT_X25519_BYTES : ML_KEM_SEED_BYTES)) return VAULT_WRONG_LENGTH;
  size_t length = is_x25519 ? VAULT_X25519_BYTES : VAULT_ENCAPSULATION_KEY_BYTES;
  EVP_PKEY *pkey = is_x25519 ? EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, call->bytes.at, call->bytes.length)
                             : ml_kem_of(call->bytes);
  if (pkey && EVP_PKEY_get_raw_public_key(pkey, call->public_key, &length)) {
    return slots_put_pkey(KIND_EPHEMERAL, (uint8_t)call->algorithm, pkey, call->made);
  }
  EVP_PKEY_free(pkey);
  return failed(VAULT_INTERNAL);
}

vault_result vault_testing_import_ephemeral(vault_algorithm algorithm, vault_bytes bytes, vault_handle *ephemeral,
                                            uint8_t *public_key) {
  *ephemeral = 0;
  if (algorithm != VAULT_X25519 && algorithm != VAULT_ML_KEM_768) return VAULT_WRONG_USE;
  ephemeral_call call = {algorithm, bytes, ephemeral, public_key};
  return run_wide(ephemeral_on_stack, &call);
}

typedef struct pair_call {
  vault_bytes pkcs8;
  uint64_t wipes;
  vault_handle *pair;
  uint8_t *spki;
} pair_call;

static vault_result pair_on_stack(void *argument) {
  pair_call *call = argument;
  EVP_PKEY *pkey = read_pkcs8(call->pkcs8);
  return pkey ? put_key_pair(pkey, call->wipes, call->pair, call->spki) : failed(VAULT_BAD_KEY);
}

vault_result vault_testing_import_key_pair(vault_bytes pkcs8, vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]) {
  *pair = 0;
  pair_call call = {.pkcs8 = pkcs8, .pair = pair, .spki = spki};
  vault_result result = begin_key_pair(&call.wipes);
  return result == VAULT_OK ? run_long(pair_on_stack, &call) : result;
}

typedef struct oaep_call {
  EVP_PKEY *pkey;
  vault_bytes label;
  vault_bytes wrapped;
  vault_handle *slot;
} oaep_call;

static vault_result oaep_on_stack(void *argument) {
  oaep_call *call = argument;
  uint8_t clear[MODULUS_BYTES];
  size_t length;
  int opened = oaep_open(call->pkey, call->label, call->wrapped, clear, &length);
  EVP_PKEY_free(call->pkey);
  if (!opened) return failed(VAULT_UNWRAP);
  return vault_testing_import(VAULT_MAC, (vault_bytes){clear, length}, call->slot);
}

vault_result vault_testing_open_oaep(vault_handle pair, vault_bytes label, vault_bytes wrapped, vault_handle *slot) {
  *slot = 0;
  oaep_call call = {.label = label, .wrapped = wrapped, .slot = slot};
  vault_result result = borrow_key_pair(pair, &call.pkey);
  return result == VAULT_OK ? run_long(oaep_on_stack, &call) : result;
}

/* ---- births ---- */

static int births = -1;

void vault_testing_tell_births(int pipe) {
  births = pipe;
}

/* A pipe takes up to PIPE_BUF bytes whole, whoever else writes. */
void tell_birth(const uint8_t *bytes, size_t length) {
  uint8_t head[2] = {(uint8_t)length, (uint8_t)(length >> 8)};
  struct iovec record[2] = {{head, sizeof head}, {(void *)(uintptr_t)bytes, length}};
  if (births < 0 || length == 0 || length > PIPE_BUF - sizeof head) return;
  if (writev(births, record, 2) != (ssize_t)(length + sizeof head)) abort();
}

void tell_ephemeral(const EVP_PKEY *pkey) {
  uint8_t bytes[ML_KEM_SEED_BYTES];
  size_t length = sizeof bytes;
  int told = births >= 0 && (EVP_PKEY_is_a(pkey, "X25519")
                                 ? EVP_PKEY_get_raw_private_key(pkey, bytes, &length)
                                 : EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ML_KEM_SEED, bytes, length, &length));
  if (told) tell_birth(bytes, length);
}

void vault_testing_media_start(uint64_t index) {
  media_start(index);
}

#endif
