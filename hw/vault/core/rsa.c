/*
 * Private RSA (RFC 8017): made, tried, signing, opening. All of it long.
 *
 *     vault's lock     | find, refer |                      | find again, give out |
 *     long stack                     | RSA ................ |
 *                      wiped meanwhile: the result is not given out, the key goes with the last reference
 */
#include "rsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

#include "seal.h"
#include "slots.h"
#include "stack.h"

enum { MODULUS_BITS = 4096, PSS_SALT_BYTES = 32 };

const uint8_t SECRET_PREFIX[SECRET_PREFIX_BYTES] = {'+', '+', '+', 's', 'e', 'c', 'r', 'e', 't', '+', '+', '+'};

static char SHA_256[] = "SHA256";

/* ---- key pairs and their slots ---- */

typedef struct pair_call {
  vault_handle handle;
  EVP_PKEY *pkey;
  uint64_t wipes;
  vault_handle *made;
} pair_call;

static vault_result borrow_on_stack(void *argument) {
  pair_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find(call->handle, KIND_KEY_PAIR, &slot);
  if (result != VAULT_OK) return result;
  call->pkey = slot->pkey;
  return EVP_PKEY_up_ref(slot->pkey) ? VAULT_OK : VAULT_INTERNAL;
}

vault_result borrow_key_pair(vault_handle pair, EVP_PKEY **pkey) {
  pair_call call = {.handle = pair};
  vault_result result = run_small(borrow_on_stack, &call);
  *pkey = result == VAULT_OK ? call.pkey : NULL;
  return result;
}

static vault_result is_there_on_stack(void *argument) {
  struct slot *slot;
  return slots_find(((pair_call *)argument)->handle, KIND_KEY_PAIR, &slot);
}

static vault_result is_there(vault_handle pair) {
  return run_small(is_there_on_stack, &(pair_call){.handle = pair});
}

static vault_result begin_on_stack(void *argument) {
  *(uint64_t *)argument = slots_wipes();
  return slots_room(KIND_KEY_PAIR, 1);
}

vault_result begin_key_pair(uint64_t *wipes) {
  return run_small(begin_on_stack, wipes);
}

static vault_result put_on_stack(void *argument) {
  pair_call *call = argument;
  if (call->wipes == slots_wipes()) return slots_put_pkey(KIND_KEY_PAIR, 0, call->pkey, call->made);
  EVP_PKEY_free(call->pkey);
  return VAULT_EMPTY_SLOT;
}

/* ---- trial ---- */

static int begin_pss(EVP_MD_CTX *context, EVP_PKEY *pkey,
                     int (*begin)(EVP_MD_CTX *, EVP_PKEY_CTX **, const char *, OSSL_LIB_CTX *, const char *, EVP_PKEY *,
                                  const OSSL_PARAM *)) {
  char pss[] = OSSL_PKEY_RSA_PAD_MODE_PSS;
  int salt_bytes = PSS_SALT_BYTES;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, pss, 0),
      OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt_bytes),
      OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, SHA_256, 0),
      OSSL_PARAM_construct_end(),
  };
  return begin(context, NULL, SHA_256, NULL, NULL, pkey, params) > 0;
}

static int pss_sign(EVP_PKEY *pkey, vault_bytes message, uint8_t signature[VAULT_SIGNATURE_BYTES]) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t bytes = VAULT_SIGNATURE_BYTES;
  int is_signed = context && begin_pss(context, pkey, EVP_DigestSignInit_ex) &&
                  EVP_DigestSign(context, signature, &bytes, message.at, message.length) > 0;
  EVP_MD_CTX_free(context);
  return is_signed && bytes == VAULT_SIGNATURE_BYTES;
}

int pss_verifies(EVP_PKEY *pkey, vault_bytes message, const uint8_t signature[VAULT_SIGNATURE_BYTES]) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  int verifies = context && begin_pss(context, pkey, EVP_DigestVerifyInit_ex) &&
                 EVP_DigestVerify(context, signature, VAULT_SIGNATURE_BYTES, message.at, message.length) > 0;
  EVP_MD_CTX_free(context);
  return verifies;
}

static int is_product(const EVP_PKEY *pkey) {
  BIGNUM *n = NULL, *p = NULL, *q = NULL, *product = BN_secure_new();
  BN_CTX *context = BN_CTX_secure_new();
  int is = product && context && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) &&
           EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, &p) &&
           EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, &q) && BN_num_bits(p) == MODULUS_BITS / 2 &&
           BN_num_bits(q) == MODULUS_BITS / 2 && BN_mul(product, p, q, context) && BN_cmp(product, n) == 0;
  BN_free(n);
  BN_clear_free(p);
  BN_clear_free(q);
  BN_clear_free(product);
  BN_CTX_free(context);
  return is;
}

/* Seed 003: validate_key_pair, test_key_pair. */
static int belongs_together(EVP_PKEY *pkey) {
  static const uint8_t trial[] = "feldfon/1 key pair trial";
  vault_bytes message = {trial, sizeof trial};
  uint8_t signature[VAULT_SIGNATURE_BYTES];
  return is_product(pkey) && pss_sign(pkey, message, signature) && pss_verifies(pkey, message, signature);
}

vault_result put_key_pair(EVP_PKEY *pkey, uint64_t wipes, vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]) {
  if (!pkey || !write_spki(pkey, spki) || !belongs_together(pkey)) {
    EVP_PKEY_free(pkey);
    return failed(VAULT_BAD_KEY);
  }
  return run_small(put_on_stack, &(pair_call){.pkey = pkey, .wipes = wipes, .made = pair});
}

/* ---- making ---- */

typedef struct make_call {
  uint64_t wipes;
  vault_handle *pair;
  uint8_t *spki;
} make_call;

static vault_result make_on_stack(void *argument) {
  make_call *call = argument;
  EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)MODULUS_BITS);
  if (!pkey) return failed(VAULT_INTERNAL);
  return put_key_pair(pkey, call->wipes, call->pair, call->spki);
}

vault_result vault_make_key_pair(vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]) {
  *pair = 0;
  make_call call = {.pair = pair, .spki = spki};
  vault_result result = begin_key_pair(&call.wipes);
  return result == VAULT_OK ? run_long(make_on_stack, &call) : result;
}

/* ---- signing ---- */

typedef struct sign_call {
  EVP_PKEY *pkey;
  vault_bytes message;
  uint8_t signature[VAULT_SIGNATURE_BYTES];
} sign_call;

static vault_result sign_on_stack(void *argument) {
  sign_call *call = argument;
  int is_signed = pss_sign(call->pkey, call->message, call->signature);
  EVP_PKEY_free(call->pkey);
  return is_signed ? VAULT_OK : failed(VAULT_INTERNAL);
}

vault_result vault_sign(vault_handle pair, vault_bytes message, uint8_t signature[VAULT_SIGNATURE_BYTES]) {
  sign_call call = {.message = message};
  vault_result result = borrow_key_pair(pair, &call.pkey);
  if (result != VAULT_OK) return result;
  result = run_long(sign_on_stack, &call);
  vault_result there = is_there(pair);
  if (there != VAULT_OK) return there;
  if (result == VAULT_OK) memcpy(signature, call.signature, VAULT_SIGNATURE_BYTES);
  return result;
}

/* ---- opening ---- */

int oaep_begin(EVP_PKEY_CTX *context, vault_bytes label, int (*begin)(EVP_PKEY_CTX *, const OSSL_PARAM *)) {
  char oaep[] = OSSL_PKEY_RSA_PAD_MODE_OAEP;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, oaep, 0),
      OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, SHA_256, 0),
      OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, SHA_256, 0),
      OSSL_PARAM_construct_end(),
      OSSL_PARAM_construct_end(),
  };
  if (label.length > 0) {
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, (void *)(uintptr_t)label.at,
                                                  label.length);
  }
  return begin(context, params) > 0;
}

int oaep_open(EVP_PKEY *pkey, vault_bytes label, vault_bytes wrapped, uint8_t clear[MODULUS_BYTES], size_t *length) {
  *length = MODULUS_BYTES;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  int opened = context && wrapped.length == VAULT_WRAP_BYTES &&
               oaep_begin(context, label, EVP_PKEY_decrypt_init_ex) &&
               EVP_PKEY_decrypt(context, clear, length, wrapped.at, wrapped.length) > 0;
  EVP_PKEY_CTX_free(context);
  return opened;
}

typedef struct unwrap_call {
  vault_handle pair;
  vault_bytes label;
  vault_bytes wrapped;
  vault_handle *made;
  EVP_PKEY *pkey;
  struct secret *secret; /* taken before anything is opened: a full arena answers good and bad alike */
  vault_result opened;
} unwrap_call;

static vault_result unwrap_begin_on_stack(void *argument) {
  unwrap_call *call = argument;
  vault_result result = slots_room(KIND_SECRET, 1);
  if (result != VAULT_OK) return result;
  struct slot *slot;
  result = slots_find(call->pair, KIND_KEY_PAIR, &slot);
  if (result != VAULT_OK) return result;
  call->secret = secret_new(VAULT_SECRET_BYTES);
  if (!call->secret) return VAULT_NO_MEMORY;
  call->pkey = slot->pkey;
  return EVP_PKEY_up_ref(slot->pkey) ? VAULT_OK : VAULT_INTERNAL;
}

/* One way through, whatever came: what is no secret is copied like one and then thrown away. */
static vault_result unwrap_on_stack(void *argument) {
  unwrap_call *call = argument;
  uint8_t clear[MODULUS_BYTES] = {0};
  size_t length;
  int fits = oaep_open(call->pkey, call->label, call->wrapped, clear, &length);
  fits &= length == SECRET_PREFIX_BYTES + VAULT_SECRET_BYTES;
  fits &= CRYPTO_memcmp(clear, SECRET_PREFIX, SECRET_PREFIX_BYTES) == 0;
  memcpy(call->secret->bytes, clear + SECRET_PREFIX_BYTES, VAULT_SECRET_BYTES);
  EVP_PKEY_free(call->pkey);
  vault_result failure = failed(VAULT_UNWRAP);
  return fits ? VAULT_OK : failure;
}

static vault_result unwrap_end_on_stack(void *argument) {
  unwrap_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find(call->pair, KIND_KEY_PAIR, &slot);
  if (result == VAULT_OK) result = slots_room(KIND_SECRET, 1);
  if (result == VAULT_OK) result = call->opened;
  if (result == VAULT_OK) return slots_put_secret(VAULT_DERIVE, call->secret, call->made);
  secret_free(call->secret);
  return result;
}

vault_result vault_unwrap(vault_handle pair, vault_bytes label, vault_bytes wrapped, vault_handle *secret) {
  *secret = 0;
  unwrap_call call = {.pair = pair, .label = label, .wrapped = wrapped, .made = secret};
  vault_result result = run_small(unwrap_begin_on_stack, &call);
  if (result != VAULT_OK) return result;
  call.opened = run_long(unwrap_on_stack, &call);
  return run_small(unwrap_end_on_stack, &call);
}
