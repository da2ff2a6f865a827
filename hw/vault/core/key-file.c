/*
 * Key files: PKCS#8 in PEM (RFC 5958, RFC 7468), read by read(2) into the arena and written by write(2) out of it.
 *
 *     load     path --open, fstat--> ours alone? --read--> | text --> DER --> key | in the arena
 *     save     | key --> text | in the arena --write--> path.<random> --fsync, rename--> path, folder --fsync
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rsa.h"
#include "seal.h"
#include "slots.h"
#include "stack.h"

enum { FILE_BYTES_MAX = 16 * 1024, OWNER_ONLY = 0600, OTHERS = 077 };

static const char BEGIN_LINE[] = "-----BEGIN PRIVATE KEY-----";

/* ---- reading ---- */

EVP_PKEY *read_pkcs8(vault_bytes der) {
  const uint8_t *at = der.at;
  if (der.length > LONG_MAX) return NULL;
  PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.length);
  EVP_PKEY *pkey = info && at == der.at + der.length ? EVP_PKCS82PKEY(info) : NULL;
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

static vault_result check_file(int file) {
  struct stat about;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > FILE_BYTES_MAX) return VAULT_BAD_KEY;
  return about.st_mode & OTHERS ? VAULT_KEY_FILE_OPEN : VAULT_OK;
}

/* Reads what fits into `text`; more than FILE_BYTES_MAX is refused. */
static int read_all(int file, uint8_t *text, size_t *length) {
  *length = 0;
  while (*length <= FILE_BYTES_MAX) {
    ssize_t got = read(file, text + *length, FILE_BYTES_MAX + 1 - *length);
    if (got == 0) return 1;
    if (got < 0 && errno != EINTR) return 0;
    if (got > 0) *length += (size_t)got;
  }
  return 0;
}

static vault_result read_key_file(const char *path, EVP_PKEY **pkey) {
  /* Without O_NONBLOCK a pipe of that name would keep us waiting. */
  int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return errno == ENOENT ? VAULT_NO_KEY : VAULT_BAD_KEY;
  vault_result result = check_file(file);
  uint8_t *text = result == VAULT_OK ? arena_take(FILE_BYTES_MAX + 1) : NULL;
  size_t length;
  if (result == VAULT_OK && !text) result = VAULT_NO_MEMORY;
  if (result == VAULT_OK && !read_all(file, text, &length)) result = VAULT_BAD_KEY;
  (void)close(file);
  if (result == VAULT_OK) *pkey = read_pem((vault_bytes){text, length});
  if (result == VAULT_OK && !*pkey) result = failed(VAULT_BAD_KEY);
  arena_give(text);
  return result;
}

typedef struct load_call {
  const char *path;
  uint64_t wipes;
  vault_handle *pair;
  uint8_t *spki;
} load_call;

static vault_result load_on_stack(void *argument) {
  load_call *call = argument;
  EVP_PKEY *pkey = NULL;
  vault_result result = read_key_file(call->path, &pkey);
  return result == VAULT_OK ? put_key_pair(pkey, call->wipes, call->pair, call->spki) : result;
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

static int write_all(int file, const char *text, size_t length) {
  while (length > 0) {
    ssize_t put = write(file, text, length);
    if (put < 0 && errno != EINTR) return 0;
    if (put > 0) {
      text += put;
      length -= (size_t)put;
    }
  }
  return fsync(file) == 0;
}

static int write_new_file(const char *path, BIO *text) {
  int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, OWNER_ONLY);
  if (file < 0) return 0;
  char *at;
  long length = BIO_get_mem_data(text, &at);
  int written = write_all(file, at, (size_t)length);
  int error_number = errno;
  int closed = close(file) == 0;
  if (!written) errno = error_number;
  return written && closed;
}

/* A new name survives a power cut only once its folder is written. */
static int sync_folder_of(const char *path) {
  char folder[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t length = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
  memcpy(folder, slash ? path : ".", length);
  folder[length] = 0;
  int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return 0;
  int synced = fsync(file) == 0;
  int error_number = errno;
  (void)close(file);
  errno = error_number;
  return synced;
}

static vault_result is_still_there(vault_handle pair) {
  EVP_PKEY *pkey;
  vault_result result = borrow_key_pair(pair, &pkey);
  EVP_PKEY_free(pkey);
  return result;
}

static vault_result write_whole(save_call *call, BIO *text) {
  uint64_t number;
  char temporary[PATH_MAX];
  if (getrandom(&number, sizeof number, 0) != sizeof number) return VAULT_FILE;
  int length = snprintf(temporary, sizeof temporary, "%s.%016llx", call->path, (unsigned long long)number);
  if (length < 0 || (size_t)length >= sizeof temporary) {
    errno = ENAMETOOLONG;
    return VAULT_FILE;
  }
  vault_result result = write_new_file(temporary, text) ? is_still_there(call->pair) : VAULT_FILE;
  if (result == VAULT_OK && (rename(temporary, call->path) != 0 || !sync_folder_of(call->path))) result = VAULT_FILE;
  if (result == VAULT_OK) return VAULT_OK;
  int error_number = errno;
  (void)unlink(temporary);
  errno = error_number;
  return result;
}

static vault_result save_on_stack(void *argument) {
  save_call *call = argument;
  BIO *text = text_of(call->pkey);
  EVP_PKEY_free(call->pkey);
  if (!text) return failed(VAULT_INTERNAL);
  vault_result result = write_whole(call, text);
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
