/*
 * Runs all tests, or those whose name contains the third argument: core-test KEY.pem KEY.pem [PART]
 * With --emulated in its place those are left out that ask the kernel about memory, or for vfork.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

const char *key_files[2];

vault_bytes hex(const char *digits) {
  uint8_t *bytes = malloc(strlen(digits) / 2 + 1);
  size_t length = 0;
  for (const char *at = digits; *at;) {
    if (*at == ' ' || *at == '\n') {
      at++;
      continue;
    }
    unsigned byte;
    CHECK(sscanf(at, "%2x", &byte) == 1);
    bytes[length++] = (uint8_t)byte;
    at += 2;
  }
  return (vault_bytes){bytes, length};
}

void open_vault(size_t arena_bytes) {
  GOOD(vault_open(&(vault_options){.arena_bytes = arena_bytes}));
}

size_t arena_used(void) {
  vault_status status;
  vault_get_status(&status);
  return status.arena_used;
}

vault_handle known_slot(vault_use use, vault_bytes secret) {
  vault_handle slot;
  GOOD(vault_testing_import(use, secret, &slot));
  return slot;
}

vault_handle fresh_slot(vault_use use) {
  vault_handle wrap, derive, slot;
  GOOD(vault_new_secret(&wrap, &derive));
  if (use == VAULT_WRAP) {
    GOOD(vault_wipe(derive));
    return wrap;
  }
  GOOD(vault_wipe(wrap));
  if (use == VAULT_DERIVE) return derive;
  GOOD(vault_derive(use, VAULT_STREAM_KEY_BYTES, &derive, 1, NOTHING, NOTHING, &slot));
  GOOD(vault_wipe(derive));
  return slot;
}

int holds(vault_handle slot, vault_bytes secret) {
  uint8_t bytes[VAULT_DERIVE_BYTES_MAX];
  size_t length = sizeof bytes;
  GOOD(vault_testing_reveal(slot, bytes, &length));
  return length == secret.length && memcmp(bytes, secret.at, length) == 0;
}

vault_handle load_pair(int number, uint8_t spki[VAULT_SPKI_BYTES]) {
  vault_handle pair;
  GOOD(vault_load_key_pair(key_files[number], &pair, spki));
  return pair;
}

static int status_of(void (*what)(void)) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    what();
    exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

int signal_of(void (*what)(void)) {
  int status = status_of(what);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static int run_all(const test *tests, const char *part) {
  int failures = 0;
  for (const test *at = tests; at->name; at++) {
    if (part && !strstr(at->name, part)) continue;
    int status = status_of(at->run);
    printf("%s %s\n", status == 0 ? "ok    " : "FAILED", at->name);
    if (WIFSIGNALED(status)) printf("       ended by signal %d\n", WTERMSIG(status));
    failures += status != 0;
  }
  return failures;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  key_files[0] = arguments[1];
  key_files[1] = arguments[2];
  const char *part = count > 3 ? arguments[3] : NULL;
  int is_emulated = part && strcmp(part, "--emulated") == 0;
  if (is_emulated) part = NULL;
  const test *suites[] = {kernel_tests, command_tests, arena_tests, operation_tests, voice_tests, memory_tests,
                          thread_tests, at_rest_tests};
  const size_t count_of_suites = sizeof suites / sizeof *suites;
  int failures = 0;
  printf("# pages of %ld bytes\n", sysconf(_SC_PAGESIZE));
  for (size_t at = is_emulated ? 2 : 0; at < count_of_suites; at++) failures += run_all(suites[at], part);
  return failures > 0;
}
