/*
 * What the fuzz targets of the vault's core have in common: an input is a string of bytes that each target reads as
 * calls.
 *
 *     vault.c         any calls on the vault, beside a model of what must come of them
 *     key-file.c      changes made to a key file, which is then loaded
 *     sealed-file.c   the same, and the file is sealed under a PIN
 *     voice.c         packets that come to a receiver: lost, late, doubled, damaged, made up
 *
 *     driver.c        a kept corpus (hex lines), random inputs, or what has failed; built with any compiler
 *     libFuzzer       `make fuzz`, with clang: looks for inputs that reach what none has reached before
 */
#ifndef FELDFON_FUZZ_H
#define FELDFON_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vault_testing.h"

#define MUST(condition)                                                           \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);             \
      abort();                                                                    \
    }                                                                             \
  } while (0)

/* OpenSSL has room for sixteen errors with a text each, made when they first come. A leak adds up to more than that. */
enum { KEPT_FOR_ERRORS = 8192 };

/* Of the target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_input {
  const uint8_t *at;
  size_t left;
} fuzz_input;

/* 0 when nothing is left. */
static inline uint8_t next_byte(fuzz_input *input) {
  if (input->left == 0) return 0;
  input->left--;
  return *input->at++;
}

static inline uint16_t next_word(fuzz_input *input) {
  uint8_t high = next_byte(input);
  return (uint16_t)(high << 8 | next_byte(input));
}

static inline size_t arena_used(void) {
  vault_status status;
  vault_get_status(&status);
  return status.arena_used;
}

/* A key file of RSA-4096 that the vault can load: FUZZ_KEY, so that none has to be kept here. */
static inline const char *good_key_file(void) {
  const char *path = getenv("FUZZ_KEY");
  MUST(path);
  return path;
}

#endif
