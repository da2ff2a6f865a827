/*
 * Asks a freshly built libcrypto whether the vault can stand on it, and says what is missing:
 *
 *     header == library >= 3.5 --> its heap is ours --> every algorithm is there --> RSA and Argon2id do their work
 *
 * Run once by ./build. Exit code 0: good; 1: standard error has one line per fault.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/thread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if OPENSSL_VERSION_NUMBER < 0x30500000L
#error "ML-KEM came with OpenSSL 3.5"
#endif
#ifndef OPENSSL_THREADS
#error "the vault is called from several threads"
#endif

static int faults;
static size_t allocations;

static void expect(int holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "libcrypto check: %s\n", what);
    faults++;
  }
}

static void *take(size_t bytes, const char *file, int line) {
  (void)file, (void)line;
  allocations++;
  return malloc(bytes);
}

static void *retake(void *at, size_t bytes, const char *file, int line) {
  (void)file, (void)line;
  return realloc(at, bytes);
}

static void give(void *at, const char *file, int line) {
  (void)file, (void)line;
  free(at);
}

/* FETCH(EVP_MD, "SHA2-256"): whether the default provider has it. */
#define FETCH(kind, name)                                   \
  do {                                                      \
    kind *found = kind##_fetch(NULL, name, NULL);           \
    expect(found != NULL, "no " #kind " " name);            \
    kind##_free(found);                                     \
  } while (0)

static void check_algorithms(void) {
  FETCH(EVP_CIPHER, "AES-256-GCM");
  FETCH(EVP_CIPHER, "AES-256-CTR");
  FETCH(EVP_CIPHER, "AES-256-ECB");
  FETCH(EVP_MD, "SHA2-256");
  FETCH(EVP_MD, "SHA2-512");
  FETCH(EVP_MAC, "HMAC");
  FETCH(EVP_KDF, "HKDF");
  FETCH(EVP_KDF, "ARGON2ID");
  FETCH(EVP_RAND, "CTR-DRBG");
  FETCH(EVP_KEYMGMT, "X25519");
  FETCH(EVP_KEYEXCH, "X25519");
  FETCH(EVP_KEYMGMT, "ML-KEM-768");
  FETCH(EVP_KEM, "ML-KEM-768");
  FETCH(EVP_KEYMGMT, "RSA");
  FETCH(EVP_ASYM_CIPHER, "RSA");
  FETCH(EVP_SIGNATURE, "RSA");
}

/* A key through PKCS#8 in PEM and back. The pair is the caller's; NULL if it did not come back. */
static EVP_PKEY *through_pem(EVP_PKEY *pair) {
  BIO *file = BIO_new(BIO_s_mem());
  EVP_PKEY *read = NULL;
  if (PEM_write_bio_PKCS8PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL) == 1) {
    read = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
  }
  BIO_free(file);
  return read;
}

static int use_oaep(EVP_PKEY_CTX *context) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md_name(context, "SHA2-256", NULL) == 1;
}

static int oaep_works(EVP_PKEY *pair) {
  unsigned char wrapped[256], clear[256];
  size_t wrapped_bytes = sizeof wrapped, clear_bytes = sizeof clear;
  EVP_PKEY_CTX *out = EVP_PKEY_CTX_new_from_pkey(NULL, pair, NULL);
  EVP_PKEY_CTX *in = EVP_PKEY_CTX_new_from_pkey(NULL, pair, NULL);
  int good = EVP_PKEY_encrypt_init(out) == 1 && use_oaep(out) &&
             EVP_PKEY_encrypt(out, wrapped, &wrapped_bytes, (const unsigned char *)"kelp", 4) == 1 &&
             EVP_PKEY_decrypt_init(in) == 1 && use_oaep(in) &&
             EVP_PKEY_decrypt(in, clear, &clear_bytes, wrapped, wrapped_bytes) == 1 && clear_bytes == 4 &&
             memcmp(clear, "kelp", 4) == 0;
  EVP_PKEY_CTX_free(out);
  EVP_PKEY_CTX_free(in);
  return good;
}

static int pss_works(EVP_PKEY *pair) {
  unsigned char signature[256];
  size_t bytes = sizeof signature;
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_PKEY_CTX *padding = NULL; /* the context's own */
  int good = EVP_DigestSignInit_ex(context, &padding, "SHA2-256", NULL, NULL, pair, NULL) == 1 &&
             EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1 &&
             EVP_DigestSign(context, signature, &bytes, (const unsigned char *)"kelp", 4) == 1;
  EVP_MD_CTX_free(context);
  return good && bytes == sizeof signature;
}

static void check_rsa(void) {
  EVP_PKEY *made = EVP_RSA_gen(2048);
  EVP_PKEY *read = made ? through_pem(made) : NULL;
  expect(made != NULL, "no RSA key can be made");
  expect(read != NULL, "no RSA key can be read from PKCS#8 in PEM");
  if (read) {
    expect(EVP_PKEY_eq(made, read) == 1, "an RSA key read back is another one");
    expect(oaep_works(read), "RSA-OAEP with SHA-256 does not work");
    expect(pss_works(read), "RSA-PSS with SHA-256 does not work");
  }
  EVP_PKEY_free(read);
  EVP_PKEY_free(made);
}

static void check_argon2id(void) {
  unsigned char key[32];
  uint32_t lanes = 1, rounds = 1, memory_kib = 64;
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, "123456", 6),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, "sixteen bytes ..", 16),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES, &lanes),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &rounds),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST, &memory_kib),
      OSSL_PARAM_construct_end(),
  };
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "ARGON2ID", NULL);
  EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
  expect(context && EVP_KDF_derive(context, key, sizeof key, parameters) == 1, "Argon2id does not work");
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
}

int main(void) {
  expect(CRYPTO_set_mem_functions(take, retake, give) == 1, "its heap cannot be had (CRYPTO_set_mem_functions)");
  expect(OpenSSL_version_num() == OPENSSL_VERSION_NUMBER, "header and library are of different versions");
  check_algorithms();
  check_rsa();
  check_argon2id();
  expect(allocations > 0, "it takes its memory elsewhere");
  expect(OSSL_get_max_threads(NULL) == 0 && OSSL_get_thread_support_flags() == 0, "it starts threads of its own");
  if (faults) ERR_print_errors_fp(stderr);
  return faults ? 1 : 0;
}
