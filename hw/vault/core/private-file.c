/*
 * Files that hold keys: nobody else may touch them, and they are there whole or not at all.
 *
 *     read     path --open, fstat--> ours alone? --read(2)--> | bytes | in the arena
 *     write    | bytes | --write(2)--> path.<random> --fsync, rename--> path, folder --fsync
 */
#include "private-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "rsa.h"

enum { OWNER_ONLY = 0600, OTHERS = 077 };

/* ---- reading ---- */

static vault_result check_file(int file) {
  struct stat about;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > PRIVATE_FILE_BYTES_MAX) return VAULT_BAD_KEY;
  return about.st_mode & OTHERS ? VAULT_KEY_FILE_OPEN : VAULT_OK;
}

/* Reads what fits into `bytes`; more than PRIVATE_FILE_BYTES_MAX is refused. */
static int read_all(int file, uint8_t *bytes, size_t *length) {
  *length = 0;
  while (*length <= PRIVATE_FILE_BYTES_MAX) {
    ssize_t got = read(file, bytes + *length, PRIVATE_FILE_BYTES_MAX + 1 - *length);
    if (got == 0) return 1;
    if (got < 0 && errno != EINTR) return 0;
    if (got > 0) *length += (size_t)got;
  }
  return 0;
}

vault_result private_file_read(const char *path, uint8_t **bytes, size_t *length) {
  *bytes = NULL;
  /* Without O_NONBLOCK a pipe of that name would keep us waiting. */
  int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return errno == ENOENT ? VAULT_NO_KEY : VAULT_BAD_KEY;
  vault_result result = check_file(file);
  uint8_t *read = result == VAULT_OK ? arena_take(PRIVATE_FILE_BYTES_MAX + 1) : NULL;
  if (result == VAULT_OK && !read) result = VAULT_NO_MEMORY;
  if (result == VAULT_OK && !read_all(file, read, length)) result = VAULT_BAD_KEY;
  (void)close(file);
  if (result == VAULT_OK) *bytes = read;
  else arena_give(read);
  return result;
}

/* ---- writing ---- */

static int write_all(int file, vault_bytes bytes) {
  for (size_t done = 0; done < bytes.length;) {
    ssize_t put = write(file, bytes.at + done, bytes.length - done);
    if (put < 0 && errno != EINTR) return 0;
    if (put > 0) done += (size_t)put;
  }
  return fsync(file) == 0;
}

static int write_new_file(const char *path, vault_bytes bytes) {
  int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, OWNER_ONLY);
  if (file < 0) return 0;
  int written = write_all(file, bytes);
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
  if (pair == 0) return VAULT_OK;
  EVP_PKEY *pkey;
  vault_result result = borrow_key_pair(pair, &pkey);
  EVP_PKEY_free(pkey);
  return result;
}

vault_result private_file_write(const char *path, vault_bytes bytes, vault_handle pair) {
  uint64_t number;
  char temporary[PATH_MAX];
  if (getrandom(&number, sizeof number, 0) != sizeof number) return VAULT_FILE;
  int length = snprintf(temporary, sizeof temporary, "%s.%016llx", path, (unsigned long long)number);
  if (length < 0 || (size_t)length >= sizeof temporary) {
    errno = ENAMETOOLONG;
    return VAULT_FILE;
  }
  vault_result result = write_new_file(temporary, bytes) ? is_still_there(pair) : VAULT_FILE;
  if (result == VAULT_OK && (rename(temporary, path) != 0 || !sync_folder_of(path))) result = VAULT_FILE;
  if (result == VAULT_OK) return VAULT_OK;
  int error_number = errno;
  (void)unlink(temporary);
  errno = error_number;
  return result;
}
