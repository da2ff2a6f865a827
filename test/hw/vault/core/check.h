/*
 * Tests of the vault's core. Each runs in a process of its own, because a vault is opened once per process:
 *
 *     main --fork--> { vault_open, test } --exit status--> main        one line each, "ok" or "FAILED"
 */
#ifndef FELDFON_CORE_CHECK_H
#define FELDFON_CORE_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vault_testing.h"

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                        \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

#define IS(call, expected)                                                                                   \
  do {                                                                                                       \
    vault_result came = (call);                                                                              \
    if (came != (expected)) {                                                                                \
      fprintf(stderr, "%s:%d: %s: \"%s\" (%d) came\n", __FILE__, __LINE__, #call, vault_word(came), came);   \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

#define GOOD(call) IS(call, VAULT_OK)

typedef struct test {
  const char *name;
  void (*run)(void);
} test;

extern const test kernel_tests[], arena_tests[], operation_tests[], voice_tests[], memory_tests[], thread_tests[],
    at_rest_tests[], command_tests[];

/* PKCS#8 in PEM, mode 0600, two different keys. */
extern const char *key_files[2];

static const vault_bytes NOTHING = {(const uint8_t *)"", 0};

static inline vault_bytes bytes_of(const char *text) {
  return (vault_bytes){(const uint8_t *)text, strlen(text)};
}

/* Hex, spaces allowed; the memory stays until the process ends. */
vault_bytes hex(const char *digits);

/* With the given number of bytes, or the default when 0. */
void open_vault(size_t arena_bytes);
size_t arena_used(void);
/* A slot of `use` (44 or 48 bytes) made of fresh randomness, or of a known secret. */
vault_handle fresh_slot(vault_use use);
vault_handle known_slot(vault_use use, vault_bytes secret);
/* What the slot holds is this. */
int holds(vault_handle slot, vault_bytes secret);
vault_handle load_pair(int number, uint8_t spki[VAULT_SPKI_BYTES]);
/* How often these bytes lie in the arena now. */
int hits_in_arena(vault_bytes needle);
/* The signal that ended a child process which did this, 0 if none did. */
int signal_of(void (*what)(void));

#endif
