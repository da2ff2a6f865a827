/* PINs and sealed key files: what is promised, what stays behind, and what a damaged or forged file can do. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "check.h"
#include "device.h"
#include "stack.h"

enum { MEMORY_KIB = 8, PASSES = 1, FILE_BYTES = 5240 };

static const char PIN[] = "480173480173", OTHER[] = "480173480174", DURESS[] = "999999";
static const char FILE_PATH[] = "at-rest.key", DEVICE_PATH[] = "at-rest.device";
static uint8_t spki[VAULT_SPKI_BYTES], found_spki[VAULT_SPKI_BYTES];
static vault_device device = {.kind = VAULT_OTP, .words = {(const uint8_t *)DEVICE_PATH, sizeof DEVICE_PATH}};

static void write_file(const char *path, const void *bytes, size_t length) {
  (void)unlink(path);
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && write(file, bytes, length) == (ssize_t)length && close(file) == 0);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t room) {
  int file = open(path, O_RDONLY);
  CHECK(file >= 0);
  ssize_t length = read(file, bytes, room);
  CHECK(length >= 0 && close(file) == 0);
  return (size_t)length;
}

static vault_handle typed(const char *digits) {
  vault_handle pin;
  uint32_t count;
  GOOD(vault_new_pin(&pin));
  for (const char *at = digits; *at; at++) GOOD(vault_pin_push(pin, (uint32_t)(*at - '0'), &count));
  return pin;
}

static vault_result load(const char *digits, vault_handle *found) {
  return vault_load_sealed(typed(digits), FILE_PATH, &device, found, found_spki);
}

static vault_handle prepare(void) {
  open_vault(0);
  write_file(DEVICE_PATH, "0123456789abcdef0123456789abcdef", 32);
  vault_handle pair = load_pair(0, spki);
  GOOD(vault_save_sealed(typed(PIN), pair, FILE_PATH, &device, MEMORY_KIB, PASSES));
  return pair;
}

/* ---- PINs ---- */

static void counts_digits(void) {
  open_vault(0);
  uint32_t count;
  int same;
  vault_handle pin = typed("123456789012");
  GOOD(vault_pin_push(pin, 3, &count));
  CHECK(count == 12);
  IS(vault_pin_push(pin, 10, &count), VAULT_BAD_DIGIT);
  GOOD(vault_pin_pop(pin, &count));
  CHECK(count == 11);
  GOOD(vault_pin_keep(pin));
  GOOD(vault_pin_digits(pin, &count));
  CHECK(count == 0);
  for (uint32_t digit = 1; digit <= 11; digit++) GOOD(vault_pin_push(pin, digit % 10, &count));
  GOOD(vault_pin_matches_kept(pin, &same));
  CHECK(same == 1);
  GOOD(vault_pin_matches_kept(pin, &same));
  CHECK(same == 0);
  GOOD(vault_pin_digits(pin, &count));
  CHECK(count == 0);
}

static void is_no_other_slot(void) {
  open_vault(0);
  uint32_t count;
  uint8_t out[64];
  vault_handle pin = typed(PIN), derive = fresh_slot(VAULT_DERIVE), slot;
  IS(vault_derive(VAULT_MAC, 32, &pin, 1, NOTHING, NOTHING, &slot), VAULT_WRONG_USE);
  IS(vault_derive(VAULT_PIN, 32, &derive, 1, NOTHING, NOTHING, &slot), VAULT_WRONG_USE);
  IS(vault_mac(pin, NOTHING, out), VAULT_WRONG_USE);
  IS(vault_seal(pin, 0, NOTHING, NOTHING, out), VAULT_WRONG_USE);
  IS(vault_pin_push(derive, 1, &count), VAULT_WRONG_USE);
  IS(vault_testing_import(VAULT_PIN, bytes_of("short"), &slot), VAULT_WRONG_USE);
  IS(vault_load_sealed(derive, FILE_PATH, &device, &slot, found_spki), VAULT_WRONG_USE);
  GOOD(vault_wipe(pin));
  IS(vault_pin_push(pin, 1, &count), VAULT_EMPTY_SLOT);
}

static void is_wiped_by_every_use(void) {
  vault_handle pair = prepare(), found, pin = typed(PIN);
  uint32_t count;
  CHECK(hits_in_arena(bytes_of(PIN)) == 1);
  GOOD(vault_load_sealed(pin, FILE_PATH, &device, &found, found_spki));
  IS(vault_pin_digits(pin, &count), VAULT_EMPTY_SLOT);
  CHECK(hits_in_arena(bytes_of(PIN)) == 0);
  pin = typed(PIN);
  IS(vault_load_sealed(pin, "missing", &device, &found, found_spki), VAULT_NO_KEY);
  IS(vault_pin_digits(pin, &count), VAULT_EMPTY_SLOT);
  pin = typed(PIN);
  GOOD(vault_change_pin(pin, pair, FILE_PATH, &device));
  IS(vault_pin_digits(pin, &count), VAULT_EMPTY_SLOT);
  GOOD(vault_wipe(pair));
  pin = typed(PIN);
  IS(vault_change_pin(pin, pair, FILE_PATH, &device), VAULT_EMPTY_SLOT);
  IS(vault_pin_digits(pin, &count), VAULT_EMPTY_SLOT);
  pin = typed(PIN);
  vault_wipe_all();
  CHECK(hits_in_arena(bytes_of(PIN)) == 0);
  CHECK(hits_in_arena(bytes_of("0123456789abcdef")) == 0);
}

/* ---- files ---- */

static void opens_with_its_pin_only(void) {
  vault_handle pair = prepare(), found;
  GOOD(load(PIN, &found));
  CHECK(found != 0 && memcmp(spki, found_spki, sizeof spki) == 0);
  GOOD(vault_wipe(found));
  IS(load(OTHER, &found), VAULT_BAD_PIN);
  IS(load("48017", &found), VAULT_SHORT_PIN);
  IS(load(DURESS, &found), VAULT_BAD_PIN);
  GOOD(vault_set_duress_pin(typed(DURESS), FILE_PATH, &device));
  GOOD(load(DURESS, &found));
  CHECK(found == 0);
  IS(vault_set_duress_pin(typed(PIN), FILE_PATH, &device), VAULT_SAME_PIN);
  IS(vault_change_pin(typed(DURESS), pair, FILE_PATH, &device), VAULT_SAME_PIN);
  GOOD(vault_change_pin(typed(OTHER), pair, FILE_PATH, &device));
  GOOD(load(OTHER, &found));
  IS(load(PIN, &found), VAULT_BAD_PIN);
  GOOD(load(DURESS, &found));
  vault_device other = device;
  other.kind = VAULT_TPM;
  IS(vault_load_sealed(typed(OTHER), FILE_PATH, &other, &found, found_spki), VAULT_OTHER_DEVICE);
  CHECK(found == 0);
}

static void costs_what_the_file_says(void) {
  vault_handle pair = prepare(), found;
  size_t before = arena_used();
  GOOD(vault_save_sealed(typed(PIN), pair, FILE_PATH, &device, 64 * 1024, 3));
  GOOD(load(PIN, &found));
  GOOD(vault_wipe(found));
  CHECK(arena_used() <= before);
  IS(vault_save_sealed(typed(PIN), pair, FILE_PATH, &device, 7, 1), VAULT_WRONG_LENGTH);
  IS(vault_save_sealed(typed(PIN), pair, FILE_PATH, &device, 8, 17), VAULT_WRONG_LENGTH);
  IS(vault_save_sealed(typed(PIN), pair, FILE_PATH, &device, 1 << 21, 1), VAULT_WRONG_LENGTH);
  GOOD(load(PIN, &found));
}

/* Bytes of every kind, hash put right or not: an error or the key, and nothing else. */
static void survives_any_file(void) {
  static uint8_t whole[FILE_BYTES], bytes[2 * FILE_BYTES];
  vault_handle found;
  (void)prepare();
  CHECK(read_file(FILE_PATH, whole, sizeof whole) == FILE_BYTES);
  unsigned random = 1;
  for (int round = 0; round < 400; round++) {
    memcpy(bytes, whole, FILE_BYTES);
    random = random * 1103515245u + 12345u;
    size_t at = (random >> 8) % FILE_BYTES, length = FILE_BYTES;
    if (round % 4 == 0) length = (random >> 4) % sizeof bytes;
    else bytes[round % 2 ? at : at % 40] ^= (uint8_t)(1u << (random >> 28) % 8);
    write_file(FILE_PATH, bytes, length);
    vault_result result = load(PIN, &found);
    if (length == FILE_BYTES && round % 4 == 0) continue;
    CHECK(result == VAULT_BAD_KEY);
  }
}

static void never_fills_up(void) {
  (void)prepare();
  vault_handle found;
  IS(load(OTHER, &found), VAULT_BAD_PIN);
  size_t used = arena_used();
  for (int round = 0; round < 200; round++) {
    IS(load(OTHER, &found), VAULT_BAD_PIN);
    GOOD(load(PIN, &found));
    GOOD(vault_wipe(found));
  }
  CHECK(arena_used() <= used);
}

/* ---- processes that are killed while they save ---- */

enum { ROUNDS = 40, MOST_MICROSECONDS = 4000 };

/* The arena does not outlive a fork, so each process opens a vault of its own, the parent's last. */
static void saves_without_end(const char *path) {
  open_vault(0);
  vault_handle pair = load_pair(0, spki);
  GOOD(vault_save_sealed(typed(PIN), pair, path, &device, MEMORY_KIB, PASSES));
  for (int round = 0;; round++) {
    const char *digits = round % 2 ? PIN : OTHER;
    if (round % 3 == 0) GOOD(vault_save_sealed(typed(digits), pair, path, &device, MEMORY_KIB, PASSES));
    else GOOD(vault_change_pin(typed(digits), pair, path, &device));
  }
}

static void loses_no_key_when_it_is_killed(void) {
  char paths[ROUNDS][32];
  unsigned random = (unsigned)getpid();
  write_file(DEVICE_PATH, "0123456789abcdef0123456789abcdef", 32);
  for (int round = 0; round < ROUNDS; round++) {
    (void)snprintf(paths[round], sizeof paths[round], "killed.%d", round);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) saves_without_end(paths[round]);
    while (access(paths[round], F_OK) != 0) CHECK(waitpid(child, NULL, WNOHANG) == 0);
    random = random * 1103515245u + 12345u;
    (void)usleep((random >> 8) % MOST_MICROSECONDS);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
  }
  open_vault(0);
  for (int round = 0; round < ROUNDS; round++) {
    vault_handle found;
    vault_result result = vault_load_sealed(typed(PIN), paths[round], &device, &found, found_spki);
    if (result == VAULT_BAD_PIN) {
      result = vault_load_sealed(typed(OTHER), paths[round], &device, &found, found_spki);
    }
    GOOD(result);
    GOOD(vault_wipe(found));
  }
}

/* ---- devices ---- */

static vault_result read_by(const char *words, size_t length) {
  vault_handle found;
  vault_device command = {.kind = VAULT_OTP, .is_command = 1, .words = {(const uint8_t *)words, length}};
  return vault_load_sealed(typed(PIN), FILE_PATH, &command, &found, found_spki);
}

#define BY(words) read_by(words, sizeof words)

static void reads_what_commands_print(void) {
  (void)prepare();
  GOOD(BY("/bin/sh\0-c\0printf 0123456789abcdef; sleep 0.05; printf 0123456789abcdef"));
  IS(BY("/bin/echo\0" "0123456789abcdef0123456789abcdef"), VAULT_BAD_PIN); /* and a new line */
  IS(BY("/bin/sh\0-c\0printf 0123456789abcdef0123456789abcdef; exit 3"), VAULT_NO_DEVICE);
  IS(BY("/bin/sh\0-c\0yes"), VAULT_NO_DEVICE);
  IS(BY("/nonexistent"), VAULT_NO_DEVICE);
  IS(read_by("/bin/true", 9), VAULT_NO_DEVICE); /* no zero at its end */
  IS(read_by("", 0), VAULT_NO_DEVICE);
  static const char many[64];
  IS(read_by(many, sizeof many), VAULT_NO_DEVICE);
}

static void ends_what_takes_too_long(void) {
  (void)prepare();
  device_timeout_ms = 200;
  IS(BY("/bin/sh\0-c\0printf 0123456789abcdef0123456789abcdef; exec sleep 60"), VAULT_NO_DEVICE);
  IS(BY("/bin/sh\0-c\0(sleep 60)& printf 0123456789abcdef0123456789abcdef"), VAULT_NO_DEVICE);
  IS(BY("/bin/sh\0-c\0printf 0123456789abcdef0123456789abcdef; exec sleep 60 >/dev/null"), VAULT_NO_DEVICE);
}

/* ---- memory ---- */

static void says_so_when_memory_is_refused(void) {
  vault_handle pair = prepare(), found;
  static uint8_t before[FILE_BYTES], after[FILE_BYTES];
  int done = 0;
  for (long takes = 0; !done; takes++) {
    CHECK(takes < 20000);
    CHECK(read_file(FILE_PATH, before, sizeof before) == FILE_BYTES);
    vault_handle pin = typed(PIN), other = typed(DURESS);
    arena_refuse_after(takes);
    vault_result loaded = vault_load_sealed(pin, FILE_PATH, &device, &found, found_spki);
    arena_refuse_after(takes);
    vault_result set = vault_set_duress_pin(other, FILE_PATH, &device);
    arena_refuse_after(-1);
    CHECK(loaded == VAULT_OK || loaded == VAULT_NO_MEMORY);
    CHECK(set == VAULT_OK || set == VAULT_NO_MEMORY);
    CHECK(read_file(FILE_PATH, after, sizeof after) == FILE_BYTES);
    CHECK(set == VAULT_OK || memcmp(before, after, sizeof before) == 0);
    if (loaded == VAULT_OK) GOOD(vault_wipe(found));
    done = loaded == VAULT_OK && set == VAULT_OK;
  }
  GOOD(vault_wipe(pair));
  GOOD(load(PIN, &found));
}

#ifndef __SANITIZE_ADDRESS__
static void had_deep_enough_stacks(void) {
  size_t used[ARENA_STACKS];
  stack_measure(0, used);
  for (int stack = 0; stack < ARENA_STACKS; stack++) {
    CHECK(used[stack] == 0 || used[stack] + 8 * 1024 < stack_bytes_wanted[stack]);
  }
}

static void has_deep_enough_stacks(void) {
  vault_handle pair = prepare(), found;
  stack_measure(1, NULL);
  GOOD(vault_save_sealed(typed(PIN), pair, FILE_PATH, &device, 1024, 1));
  GOOD(vault_set_duress_pin(typed(DURESS), FILE_PATH, &device));
  GOOD(load(PIN, &found));
  had_deep_enough_stacks();
}

static void has_deep_enough_stacks_for_commands(void) {
  (void)prepare();
  stack_measure(1, NULL);
  GOOD(BY("/bin/sh\0-c\0printf 0123456789abcdef0123456789abcdef"));
  had_deep_enough_stacks();
}
#endif

const test at_rest_tests[] = {
    {"a PIN counts its digits", counts_digits},
    {"a PIN is no other slot", is_no_other_slot},
    {"a PIN is wiped by every use", is_wiped_by_every_use},
    {"a sealed file opens with its PIN only", opens_with_its_pin_only},
    {"a sealed file costs what it says", costs_what_the_file_says},
    {"a sealed file of any bytes is survived", survives_any_file},
    {"a sealed file may be tried without end", never_fills_up},
    {"a sealed file outlives whoever is killed saving it", loses_no_key_when_it_is_killed},
    {"memory refused while a PIN is tried", says_so_when_memory_is_refused},
#ifndef __SANITIZE_ADDRESS__
    {"a PIN's stacks are deep enough", has_deep_enough_stacks},
#endif
    {0},
};

/*
 * An emulator starts a program by a fork in vfork's place, and a fork leaves the secret stacks out:
 * the child would have no stack to start from.
 */
const test command_tests[] = {
    {"a device may be a command", reads_what_commands_print},
    {"a device that takes too long is ended", ends_what_takes_too_long},
#ifndef __SANITIZE_ADDRESS__
    {"a command's stacks are deep enough", has_deep_enough_stacks_for_commands},
#endif
    {0},
};
