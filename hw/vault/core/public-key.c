/*
 * Public RSA keys: their one form in DER, secrets wrapped for them, and what their owners have signed.
 *
 *     0                           33                         545            550
 *     +---------------------------+--------------------------+--------------+
 *     | SEQUENCE, rsaEncryption.. | modulus 512, first bit 1 | INTEGER 65537 |   SubjectPublicKeyInfo, RFC 3279
 *     +---------------------------+--------------------------+--------------+
 *
 * For RSA-4096 with e = 65537 everything around the modulus is always the same, so nothing has to be parsed.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "rsa.h"
#include "seal.h"
#include "slots.h"
#include "stack.h"

enum { HEAD_BYTES = 33, TAIL_BYTES = 5, PUBLIC_EXPONENT = 65537 };

static const uint8_t HEAD[HEAD_BYTES] = {0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48,
                                         0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x02,
                                         0x0f, 0x00, 0x30, 0x82, 0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00};
static const uint8_t TAIL[TAIL_BYTES] = {0x02, 0x03, 0x01, 0x00, 0x01};

_Static_assert(HEAD_BYTES + MODULUS_BYTES + TAIL_BYTES == VAULT_SPKI_BYTES, "a public key has 550 bytes");

int write_spki(const EVP_PKEY *pkey, uint8_t spki[VAULT_SPKI_BYTES]) {
  if (!EVP_PKEY_is_a(pkey, "RSA")) return 0;
  BIGNUM *n = NULL, *e = NULL;
  int fits = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) &&
             EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) && BN_is_word(e, PUBLIC_EXPONENT) &&
             BN_num_bits(n) == MODULUS_BYTES * 8 && BN_is_odd(n) &&
             BN_bn2binpad(n, spki + HEAD_BYTES, MODULUS_BYTES) == MODULUS_BYTES;
  memcpy(spki, HEAD, HEAD_BYTES);
  memcpy(spki + HEAD_BYTES + MODULUS_BYTES, TAIL, TAIL_BYTES);
  BN_free(n);
  BN_free(e);
  return fits;
}

const uint8_t *modulus_of(vault_bytes spki) {
  if (spki.length != VAULT_SPKI_BYTES) return NULL;
  const uint8_t *modulus = spki.at + HEAD_BYTES;
  int fits = memcmp(spki.at, HEAD, HEAD_BYTES) == 0 && memcmp(modulus + MODULUS_BYTES, TAIL, TAIL_BYTES) == 0 &&
             (modulus[0] & 0x80) != 0 && (modulus[MODULUS_BYTES - 1] & 1) != 0;
  return fits ? modulus : NULL;
}

/* ---- keys that were read lately: reading costs as much as using, and whoever calls calls again ---- */

enum { KEPT_LEAST = 16, KEPT_MOST = 1024, ARENA_BYTES_PER_KEPT = 64 * 1024 };

/* Public, so it need not lie in the arena; the key itself does, as all that OpenSSL has. */
typedef struct kept {
  uint8_t modulus[MODULUS_BYTES];
  EVP_PKEY *pkey;
} kept;

static kept *keys;
static size_t places;

vault_result public_keys_open(size_t arena_bytes) {
  places = arena_bytes / ARENA_BYTES_PER_KEPT;
  if (places < KEPT_LEAST) places = KEPT_LEAST;
  if (places > KEPT_MOST) places = KEPT_MOST;
  keys = calloc(places, sizeof *keys);
  return keys ? VAULT_OK : VAULT_NO_MEMORY;
}

static EVP_PKEY *read_key(const uint8_t modulus[MODULUS_BYTES]) {
  EVP_PKEY *pkey = NULL;
  BIGNUM *n = BN_bin2bn(modulus, MODULUS_BYTES, NULL);
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
  OSSL_PARAM *params = NULL;
  if (n && builder && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
      OSSL_PARAM_BLD_push_uint(builder, OSSL_PKEY_PARAM_RSA_E, PUBLIC_EXPONENT)) {
    params = OSSL_PARAM_BLD_to_param(builder);
  }
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
  if (params && context && EVP_PKEY_fromdata_init(context) > 0) {
    (void)EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params);
  }
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(builder);
  BN_free(n);
  return pkey;
}

/* Belongs to the place. NULL: OpenSSL failed. */
static EVP_PKEY *key_for(const uint8_t modulus[MODULUS_BYTES]) {
  uint32_t number;
  memcpy(&number, modulus + MODULUS_BYTES / 2, sizeof number);
  kept *place = &keys[number % places];
  if (place->pkey && memcmp(place->modulus, modulus, MODULUS_BYTES) == 0) return place->pkey;
  EVP_PKEY_free(place->pkey);
  place->pkey = read_key(modulus);
  memcpy(place->modulus, modulus, MODULUS_BYTES);
  return place->pkey;
}

/* VAULT_BAD_KEY unless it is canonical. *pkey belongs to its place. */
static vault_result find_key(vault_bytes given, EVP_PKEY **pkey) {
  uint8_t spki[VAULT_SPKI_BYTES]; /* a copy: what was checked is what is used */
  if (given.length != sizeof spki) return VAULT_BAD_KEY;
  memcpy(spki, given.at, sizeof spki);
  const uint8_t *modulus = modulus_of((vault_bytes){spki, sizeof spki});
  if (!modulus) return VAULT_BAD_KEY;
  *pkey = key_for(modulus);
  return *pkey ? VAULT_OK : failed(VAULT_BAD_KEY);
}

/* ---- wrapping ---- */

typedef struct wrap_call {
  vault_bytes spki;
  vault_bytes label;
  vault_handle secret;
  uint8_t *wrapped;
} wrap_call;

static int oaep_seal(EVP_PKEY *pkey, vault_bytes label, vault_bytes clear, uint8_t wrapped[VAULT_WRAP_BYTES]) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  size_t bytes = VAULT_WRAP_BYTES;
  int sealed = context && oaep_begin(context, label, EVP_PKEY_encrypt_init_ex) &&
               EVP_PKEY_encrypt(context, wrapped, &bytes, clear.at, clear.length) > 0;
  EVP_PKEY_CTX_free(context);
  return sealed && bytes == VAULT_WRAP_BYTES;
}

static vault_result wrap_on_stack(void *argument) {
  wrap_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find_secret(call->secret, VAULT_WRAP, 0, &slot);
  if (result != VAULT_OK) return result;
  EVP_PKEY *pkey;
  result = find_key(call->spki, &pkey);
  if (result != VAULT_OK) return result;

  uint8_t clear[SECRET_PREFIX_BYTES + VAULT_SECRET_BYTES];
  if (slot->secret->length != VAULT_SECRET_BYTES) return VAULT_WRONG_LENGTH;
  memcpy(clear, SECRET_PREFIX, SECRET_PREFIX_BYTES);
  memcpy(clear + SECRET_PREFIX_BYTES, slot->secret->bytes, VAULT_SECRET_BYTES);
  int wrapped = oaep_seal(pkey, call->label, (vault_bytes){clear, sizeof clear}, call->wrapped);
  return wrapped ? VAULT_OK : failed(VAULT_INTERNAL);
}

vault_result vault_wrap(vault_bytes spki, vault_bytes label, vault_handle secret, uint8_t wrapped[VAULT_WRAP_BYTES]) {
  wrap_call call = {spki, label, secret, wrapped};
  return run_wide(wrap_on_stack, &call);
}

/* ---- verifying ---- */

typedef struct verify_call {
  vault_bytes spki;
  vault_bytes message;
  vault_bytes signature;
  int *holds;
} verify_call;

static vault_result verify_on_stack(void *argument) {
  verify_call *call = argument;
  EVP_PKEY *pkey;
  vault_result result = find_key(call->spki, &pkey);
  if (result != VAULT_OK || call->signature.length != VAULT_SIGNATURE_BYTES) return result;
  *call->holds = pss_verifies(pkey, call->message, call->signature.at);
  /* Refused memory is no forgery. */
  return *call->holds ? VAULT_OK : failed(VAULT_OK);
}

vault_result vault_verify(vault_bytes spki, vault_bytes message, vault_bytes signature, int *holds) {
  *holds = 0;
  verify_call call = {spki, message, signature, holds};
  return run_wide(verify_on_stack, &call);
}

/* ---- secrets to be wrapped: born here and nowhere else ---- */

typedef struct birth_call {
  vault_handle *wrap;
  vault_handle *derive;
} birth_call;

static vault_result birth_on_stack(void *argument) {
  birth_call *call = argument;
  vault_result result = slots_room(KIND_SECRET, 2);
  if (result != VAULT_OK) return result;
  struct secret *wrap = secret_new(VAULT_SECRET_BYTES), *derive = secret_new(VAULT_SECRET_BYTES);
  if (!wrap || !derive || RAND_priv_bytes(wrap->bytes, VAULT_SECRET_BYTES) != 1) {
    secret_free(wrap);
    secret_free(derive);
    return failed(VAULT_INTERNAL);
  }
  memcpy(derive->bytes, wrap->bytes, VAULT_SECRET_BYTES);
  result = slots_put_secret(VAULT_WRAP, wrap, call->wrap);
  return result == VAULT_OK ? slots_put_secret(VAULT_DERIVE, derive, call->derive) : result;
}

vault_result vault_new_secret(vault_handle *wrap, vault_handle *derive) {
  *wrap = *derive = 0;
  birth_call call = {wrap, derive};
  return run_small(birth_on_stack, &call);
}
