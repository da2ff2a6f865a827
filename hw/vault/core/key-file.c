/*
 * Key files in the clear: PKCS#8 in PEM (RFC 5958, RFC 7468).
 *
 *     load     path --private-file.c--> | text --> DER --> key |     all of it in the arena
 *     save     | key --> DER --> text | --private-file.c--> path
 */
#include <errno.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "arena.h"
#include "private-file.h"
#include "rsa.h"
#include "seal.h"
#include "stack.h"

static const char BEGIN_LINE[] = "-----BEGIN PRIVATE KEY-----";

/* ---- reading ---- */

/* Else OpenSSL looks for somebody who can read it, and remembers every name it did not know: found by test/fuzz. */
static int is_rsa(const PKCS8_PRIV_KEY_INFO *info) {
  const ASN1_OBJECT *algorithm;
  return PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) && OBJ_obj2nid(algorithm) == NID_rsaEncryption;
}

EVP_PKEY *read_pkcs8(vault_bytes der) {
  const uint8_t *at = der.at;
  if (der.length > LONG_MAX) return NULL;
  PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.length);
  EVP_PKEY *pkey = info && at == der.at + der.length && is_rsa(info) ? EVP_PKCS82PKEY(info) : NULL;
  PKCS8_PRIV_KEY_INFO_free(info);
  return pkey;
}

static EVP_PKEY *read_pem(vault_bytes text) {
  if (text.length < sizeof BEGIN_LINE - 1 || memcmp(text.at, BEGIN_LINE, sizeof BEGIN_LINE - 1) != 0) return NULL;
  BIO *bio = BIO_new_mem_buf(text.at, (int)text.length);
  char *name = NULL, *header = NULL;
  uint8_t *der = NULL;
  long length = 0;
  EVP_PKEY *pkey = NULL;
  if (bio && PEM_read_bio(bio, &name, &header, &der, &length) && strcmp(name, "PRIVATE KEY") == 0) {
    pkey = read_pkcs8((vault_bytes){der, (size_t)length});
  }
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_clear_free(der, (size_t)length);
  BIO_free(bio);
  return pkey;
}

typedef struct load_call {
  const char *path;
  uint64_t wipes;
  vault_handle *pair;
  uint8_t *spki;
} load_call;

static vault_result load_on_stack(void *argument) {
  load_call *call = argument;
  uint8_t *text;
  size_t length;
  vault_result result = private_file_read(call->path, &text, &length);
  if (result != VAULT_OK) return result;
  EVP_PKEY *pkey = read_pem((vault_bytes){text, length});
  arena_give(text);
  return pkey ? put_key_pair(pkey, call->wipes, call->pair, call->spki) : failed(VAULT_BAD_KEY);
}

vault_result vault_load_key_pair(const char *path, vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]) {
  *pair = 0;
  load_call call = {.path = path, .pair = pair, .spki = spki};
  vault_result result = begin_key_pair(&call.wipes);
  return result == VAULT_OK ? run_long(load_on_stack, &call) : result;
}

/* ---- writing ---- */

typedef struct save_call {
  vault_handle pair;
  EVP_PKEY *pkey;
  const char *path;
} save_call;

/* A memory BIO with the key's text; NULL: OpenSSL failed. */
static BIO *text_of(EVP_PKEY *pkey) {
  BIO *bio = BIO_new(BIO_s_mem());
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
  int written = bio && info && PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, info);
  PKCS8_PRIV_KEY_INFO_free(info);
  if (written) return bio;
  BIO_free(bio);
  return NULL;
}

static vault_result save_on_stack(void *argument) {
  save_call *call = argument;
  BIO *text = text_of(call->pkey);
  EVP_PKEY_free(call->pkey);
  if (!text) return failed(VAULT_INTERNAL);
  char *at;
  long length = BIO_get_mem_data(text, &at);
  vault_result result = private_file_write(call->path, (vault_bytes){(const uint8_t *)at, (size_t)length}, call->pair);
  int error_number = errno;
  BIO_free(text);
  errno = error_number;
  return result;
}

vault_result vault_save_key_pair(vault_handle pair, const char *path) {
  save_call call = {.pair = pair, .path = path};
  vault_result result = borrow_key_pair(pair, &call.pkey);
  return result == VAULT_OK ? run_long(save_on_stack, &call) : result;
}
